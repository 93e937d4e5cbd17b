"""What a snapshot of a cluster amounts to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.providers.kind.cluster import NODE_LABEL, Owner, mapped_ports
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.inspector import ClusterSnapshot
from contextcore_install.providers.kind.report import differing_options, other_ports, report_of
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.stack.catalogue import resolve_ports

PORTS = resolve_ports({})
BOUND = {inside: ("127.0.0.1", here) for inside, (_, here) in mapped_ports(PORTS).items()}
NODE = Node("id1", "demo-control-plane", "control-plane", "running", "2026-01-01T10:00:05.1Z", "", "image", BOUND)
BEGAN = 1767261600.0  # 2026-01-01T10:00:00Z
OWNER = Owner("abc", "demo", BEGAN, tuple(port for _, port in BOUND.values()), ("id1",), complete=True)


def member(name: str, *, ready: bool = True) -> Manifest:
    """A node as the API tells of it."""
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": name, "labels": {NODE_LABEL: "abc"}}
    return Manifest(metadata=metadata, status={"conditions": conditions})


CORDONED = Manifest({**member(NODE.name), "spec": {"unschedulable": True}})
SNAPSHOT = ClusterSnapshot((NODE,), OWNER, ours=True, members=(member(NODE.name),))


def report(snapshot: ClusterSnapshot) -> tuple[ClusterState, list[str]]:
    found = report_of("demo", snapshot, PORTS)
    return found.state, [finding.code for finding in found.findings]


API_AWAY = InstallError("api-unreachable", "no answer")
STOPPED = replace(NODE, state="exited")
UNREADABLE = InstallError("kubeconfig-unreadable", "", 'error: error loading config file "/tmp/it\'s": yaml: line 3: x')


@pytest.mark.parametrize(
    ("snapshot", "state", "codes"),
    [
        (SNAPSHOT, ClusterState.HEALTHY, []),
        (ClusterSnapshot((), None, ours=True), ClusterState.ABSENT, []),
        (ClusterSnapshot((), OWNER, ours=True), ClusterState.ABSENT, []),
        (replace(SNAPSHOT, ours=False), ClusterState.FOREIGN, []),
        (replace(SNAPSHOT, owner=replace(OWNER, complete=False)), ClusterState.PARTIAL, []),
        (replace(SNAPSHOT, nodes=(STOPPED,)), ClusterState.STOPPED, []),
        (replace(SNAPSHOT, nodes=(replace(NODE, state="paused"),)), ClusterState.STOPPED, []),
        (replace(SNAPSHOT, members=(member(NODE.name, ready=False),)), ClusterState.DEGRADED, ["nodes-not-ready"]),
        (replace(SNAPSHOT, members=()), ClusterState.DEGRADED, ["nodes-not-ready"]),
        (
            replace(SNAPSHOT, members=(), kubectl_error=API_AWAY, api_error=API_AWAY),
            ClusterState.DEGRADED,
            ["api-silent"],
        ),
        (replace(SNAPSHOT, kubectl_error=API_AWAY), ClusterState.HEALTHY, ["context-missing"]),
        (
            replace(SNAPSHOT, kubectl_error=InstallError("context-elsewhere", "")),
            ClusterState.HEALTHY,
            ["context-missing"],
        ),
        (replace(SNAPSHOT, kubectl_error=UNREADABLE), ClusterState.HEALTHY, ["kubeconfig-unreadable"]),
        (replace(SNAPSHOT, nodes=(replace(NODE, networks={}),)), ClusterState.DEGRADED, ["node-detached"]),
        (
            replace(SNAPSHOT, nodes=(replace(NODE, networks={}),), kubectl_error=API_AWAY),
            ClusterState.DEGRADED,
            ["node-detached"],
        ),
        (replace(SNAPSHOT, nodes=(replace(STOPPED, networks={}),)), ClusterState.STOPPED, ["node-detached"]),
        (replace(SNAPSHOT, owner=replace(OWNER, nodes=("id1", "id2"))), ClusterState.HEALTHY, ["node-lost"]),
        (replace(SNAPSHOT, nodes=(replace(NODE, role="worker"),)), ClusterState.LOST, []),
        (replace(SNAPSHOT, members=(CORDONED,)), ClusterState.HEALTHY, ["node-cordoned"]),
        (replace(SNAPSHOT, owner=None), ClusterState.HEALTHY, ["note-lost"]),
    ],
)
def test_what_is_seen_comes_to_a_state(snapshot: ClusterSnapshot, state: ClusterState, codes: list[str]) -> None:
    assert report(snapshot) == (state, codes)


@pytest.mark.parametrize(
    ("joined_s_ago", "unready_s_later", "status", "state"),
    [
        (20, 0, "False", ClusterState.HEALTHY),
        (20, 0, "Unknown", ClusterState.DEGRADED),
        (200, 60, "False", ClusterState.DEGRADED),  # it has been Ready
        (4000, 0, "False", ClusterState.DEGRADED),  # it takes too long
        (-60, 0, "False", ClusterState.HEALTHY),  # by the clock of the engine's machine
        (-4000, 0, "False", ClusterState.DEGRADED),
    ],
)
def test_a_node_at_its_first_start_is_waited_for_by_whom_needs_it(
    joined_s_ago: float, unready_s_later: float, status: str, state: ClusterState
) -> None:
    joined = datetime.now(UTC) - timedelta(seconds=joined_s_ago)
    node = member(NODE.name)
    node["metadata"]["creationTimestamp"] = joined.isoformat()
    since = (joined + timedelta(seconds=unready_s_later)).isoformat()
    node["status"]["conditions"] = [{"type": "Ready", "status": status, "lastTransitionTime": since}]
    assert report(replace(SNAPSHOT, members=(node,)))[0] is state


def test_a_file_that_kubectl_cannot_read_is_moved_aside_by_whom_it_belongs_to_and_never_by_a_repair() -> None:
    (finding,) = report_of("demo", replace(SNAPSHOT, kubectl_error=UNREADABLE), PORTS).findings
    assert finding.remedy is not None
    assert not finding.remedy.automatic
    said = "mv '/tmp/it'\"'\"'s' '/tmp/it'\"'\"'s.aside' && kind export kubeconfig --name demo"
    assert finding.remedy.command == said


def test_other_ports_than_wanted_are_named(tmp_path: Path) -> None:
    wanted = resolve_ports({"grafana": 3999})
    assert other_ports((NODE,), wanted) == {"grafana": 3000}


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({}, []),
        ({"workers": 0, "node_image": "image"}, []),
        ({"workers": 2}, ["workers-fixed"]),
        ({"node_image": "another"}, ["node-image-fixed"]),
        ({"workers": 1, "node_image": "another"}, ["workers-fixed", "node-image-fixed"]),
    ],
)
def test_what_counts_only_when_a_cluster_is_made_is_said_and_stops_nothing(
    options: dict[str, Any], codes: list[str]
) -> None:
    found = differing_options("demo", [NODE], options)
    assert [finding.code for finding in found] == codes
    assert all(finding.warning for finding in found)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_cordon_counts_where_a_pod_has_no_other_place(*, waiting: bool) -> None:
    (found,) = report_of("demo", replace(SNAPSHOT, members=(CORDONED,), waiting=waiting), PORTS).findings
    assert found.remedy is not None
    assert (found.warning, found.remedy.automatic) == (not waiting, waiting)
