"""What is looked at is our cluster, and not one of its name that kubectl's context leads to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.provider import ClusterState
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kind.cluster import NODE_LABEL, Owner
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.inspector import ClusterAccess, ClusterSnapshot, Inspector
from contextcore_install.providers.kind.report import report_of
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.system.process import Captured

API = 40123
NODE = Node(
    "id1", "demo-control-plane", "control-plane", "running", "2026-01-01T10:00:05Z", "", "image",
    {6443: ("127.0.0.1", API)},
)  # fmt: skip
OWNER = Owner("abc", "demo", 1767261600.0, (), ("id1",), complete=True, engine="docker")
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class Machine:
    """Docker with our node, our note, and a context that leads to the cluster of a mark, at a port."""

    mark: str = "abc"
    port: int = API
    owner: Owner | None = OWNER
    asked: list[str] = field(default_factory=list)

    def read(self, *, fresh: bool = False) -> Any:
        labels = {NODE_LABEL: self.mark} if self.mark else {}
        node = Manifest(kind="Node", metadata={"name": NODE.name, "labels": labels}, status=READY)
        return SimpleNamespace(of_kind=lambda kind: [node] if kind == "Node" else [])

    def attempt(self, *arguments: str, **_: object) -> Captured:
        self.asked.append(" ".join(arguments))
        return Captured(arguments, 0, f"https://127.0.0.1:{self.port}", "")

    def ask(self, *arguments: str, **_: object) -> Captured:
        labels = {NODE_LABEL: "abc"}
        node = {"kind": "Node", "metadata": {"name": NODE.name, "labels": labels}, "status": READY}
        return Captured(arguments, 0, json.dumps({"items": [node]}), "")

    def inspect(self) -> ClusterSnapshot:
        owners = SimpleNamespace(read=lambda: self.owner)
        me = cast(Any, self)
        access = ClusterAccess("demo", me, me, cast(Any, owners))
        return Inspector(access, TtlCache(lambda: [NODE]), me).inspect()

    def report(self) -> tuple[ClusterState, list[str]]:
        found = report_of("demo", self.inspect(), resolve_ports({}))
        return found.state, [finding.message for finding in found.findings]


@pytest.mark.parametrize("mark", ["xyz", ""])
def test_a_context_that_leads_to_another_cluster_of_the_name_is_written_again(mark: str) -> None:
    machine = Machine(mark, port=40999)
    assert machine.inspect().identity == ""
    said = (
        "kubectl cannot reach the cluster, whose API answers in its own node: "
        "kind-demo leads to another cluster of that name."
    )
    assert machine.report() == (ClusterState.HEALTHY, [said])


@pytest.mark.parametrize("mark", ["xyz", ""])
def test_our_own_cluster_stays_ours_with_another_mark_or_none(mark: str) -> None:
    assert Machine(mark).report() == (ClusterState.HEALTHY, [])


def test_a_mark_that_is_ours_is_believed_without_asking_where_the_context_leads() -> None:
    machine = Machine()
    assert machine.report() == (ClusterState.HEALTHY, [])
    assert machine.asked == []


def test_a_cluster_whose_note_is_lost_is_known_by_its_mark() -> None:
    assert Machine("xyz", owner=None).inspect().ours


def test_a_creation_that_was_cut_off_is_ours_by_its_mark_alone() -> None:
    begun = replace(OWNER, nodes=(), complete=False)
    assert Machine("abc", owner=begun).inspect().ours
    assert not Machine("xyz", owner=begun).inspect().ours


@pytest.mark.parametrize(("ago_s", "is_recent"), [(10, True), (600, False)])
def test_a_recent_start_is_known_before_the_cluster_is_looked_at(ago_s: int, *, is_recent: bool) -> None:
    nothing: Any = None
    node = replace(NODE, started=(datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat())
    assert Inspector(nothing, TtlCache(lambda: [node]), nothing).has_restarted_recently() is is_recent
