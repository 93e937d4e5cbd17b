"""The network that kind makes on the engine: ours to remove only where we had kind make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.interfaces import StepContext
from contextcore_install.providers.kind.cluster import OwnerFile
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node, detached, shared_network
from contextcore_install.providers.kind.inspector import ClusterSnapshot
from contextcore_install.providers.kind.readiness import reconnect
from contextcore_install.providers.kubernetes.objects import Manifest
from kit.fakes import Told

DOCKER = """\
#!/bin/sh
echo "$*" >>{log}
[ "$2" != inspect ] || [ -e {there} ]
"""


@pytest.fixture
def engine(tmp_path: Path) -> ContainerEngine:
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(log=tmp_path / "log", there=tmp_path / "there"))
    program.chmod(0o755)
    return ContainerEngine(str(program), {"PATH": "/usr/bin:/bin"})


def test_a_network_is_there_or_not(engine: ContainerEngine, tmp_path: Path) -> None:
    assert not engine.has_network()
    (tmp_path / "there").touch()
    assert engine.has_network()


def test_a_network_is_removed_by_its_name(engine: ContainerEngine, tmp_path: Path) -> None:
    ContainerEngine(engine.name, {**engine.environ, "KIND_EXPERIMENTAL_DOCKER_NETWORK": "lab"}).remove_unused_network()
    engine.remove_unused_network()
    assert (tmp_path / "log").read_text().splitlines() == ["network rm lab", "network rm kind"]


@pytest.mark.parametrize("makes_network", [True, False])
def test_who_made_the_network_is_noted(tmp_path: Path, makes_network: bool) -> None:
    file = OwnerFile(tmp_path / "owner.json", "o11y-dev")
    file.finish(file.begin([1], "docker", makes_network=makes_network), [])
    owner = file.read()
    assert owner
    assert owner.made_network == makes_network


FIRST = Node("id1", "demo-control-plane", "control-plane", "running", "", "", "image", {}, {"kind": "10.0.0.2"})
SECOND = replace(FIRST, id="id2", name="demo-worker", role="worker", networks={"kind": "10.0.0.4"})
THIRD = replace(SECOND, id="id3", name="demo-worker2", networks={"kind": "10.0.0.3"})
OFF: dict[str, str] = {}


def told_address(node: Node, address: str) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": node.name}]
    return {"metadata": {"name": node.name}, "status": {"addresses": addresses}}


@dataclass
class Attaching:
    """An engine that gives nodes which are connected these addresses, in this order."""

    nodes_now: list[Node]
    gives: list[str]
    network: str = "kind"
    said: list[str] = field(default_factory=list)

    def call(self, *arguments: str, ctx: StepContext) -> str:
        self.said.append(" ".join(arguments))
        networks = {arguments[2]: self.gives.pop(0)}
        self.nodes_now = [
            replace(node, networks=networks) if node.name == arguments[3] else node for node in self.nodes_now
        ]
        return ""

    def nodes(self, _: str) -> list[Node]:
        return self.nodes_now

    def restart(self, node: Node, _: StepContext) -> None:
        self.said.append(f"restart {node.name}")

    def reconnected(self, *members: dict[str, Any]) -> list[str]:
        snapshot = ClusterSnapshot(tuple(self.nodes_now), None, ours=True, members=tuple(map(Manifest, members)))
        reconnect(cast(ContainerEngine, self), "demo", snapshot, Told().ctx)
        return self.said


def test_a_node_that_was_taken_off_its_network_is_connected_and_nothing_else_happens_to_it() -> None:
    engine = Attaching([FIRST, replace(SECOND, networks=OFF), THIRD], ["10.0.0.4"])
    assert engine.reconnected(told_address(SECOND, "10.0.0.4")) == ["network connect kind demo-worker"]


def test_a_node_with_another_address_than_before_is_restarted() -> None:
    engine = Attaching([FIRST, replace(SECOND, networks=OFF), THIRD], ["10.0.0.9"])
    said = engine.reconnected(told_address(SECOND, "10.0.0.4"))
    assert said == ["network connect kind demo-worker", "restart demo-worker"]


def test_several_are_connected_in_the_order_of_their_addresses_so_that_they_get_them_back() -> None:
    off = [FIRST, replace(SECOND, networks=OFF), replace(THIRD, networks=OFF)]
    engine = Attaching(off, ["10.0.0.3", "10.0.0.4"])
    said = engine.reconnected(told_address(SECOND, "10.0.0.4"), told_address(THIRD, "10.0.0.3"))
    assert said == ["network connect kind demo-worker2", "network connect kind demo-worker"]


def test_one_that_does_not_run_is_connected_and_not_restarted() -> None:
    engine = Attaching([FIRST, replace(SECOND, networks=OFF, state="exited")], [""])
    assert engine.reconnected(told_address(SECOND, "10.0.0.4")) == ["network connect kind demo-worker"]


def test_nodes_on_their_network_are_left_alone() -> None:
    assert Attaching([FIRST, SECOND, THIRD], []).reconnected() == []


def test_the_network_is_that_of_the_other_nodes_and_an_engine_that_says_nothing_shows_nothing() -> None:
    on_another = replace(FIRST, networks={"lab": "10.0.0.2"})
    assert shared_network([on_another, replace(SECOND, networks=OFF)], "kind") == "lab"
    assert shared_network([replace(FIRST, networks=OFF)], "kind") == "kind"
    assert detached([replace(FIRST, networks=None)], "kind") == []
