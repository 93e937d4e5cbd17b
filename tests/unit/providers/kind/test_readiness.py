"""Nodes that do not get ready are told by their cause."""

from __future__ import annotations

import time
from collections.abc import Callable
from errno import EADDRINUSE
from functools import partial
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.endpoint import EngineEndpoint
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.inspector import ClusterAccess, ClusterSnapshot, Inspector
from contextcore_install.providers.kind.readiness import MANAGER, Readiness, ReadinessLimits, has_come_back
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.system.process import Captured
from kit.fakes import Told

NODE = Node("id1", "demo-control-plane", "control-plane", "running", "", "", "image", {6443: ("127.0.0.1", 40000)})
LIMITS = ReadinessLimits()
AWAY = InstallError("api-unreachable", "It cannot be reached.", retryable=True)


@dataclass
class Machine:
    """An engine and an inspector: what the kubelet logs, and one snapshot after another."""

    snapshot: ClusterSnapshot
    log: str = ""
    name: str = "docker"
    endpoint: EngineEndpoint = field(default_factory=lambda: EngineEndpoint("unix:///srv/docker.sock"))
    then: list[ClusterSnapshot] = field(default_factory=list)
    looks: int = 0

    def ask(self, *arguments: str) -> Captured:
        assert arguments[:2] == ("exec", "demo-control-plane")
        return Captured(tuple(arguments), 0, self.log, "")

    def inspect(self, *, fresh: bool, thorough: bool = True) -> ClusterSnapshot:
        self.looks += 1
        if self.looks > 1 and self.then:
            self.snapshot = self.then.pop(0)
        return self.snapshot


def watching(
    machine: Machine,
    kubectl: Any = None,
    limits: ReadinessLimits = LIMITS,
    answers: Callable[[int], bool] = lambda _: True,
    unheld: Callable[[int], bool] = lambda _: False,
) -> Readiness:
    access = ClusterAccess("demo", cast(ContainerEngine, machine), kubectl, cast(Any, None))
    inspector = cast(Inspector, machine)
    return Readiness(
        access, inspector, lambda *_: None, limits, answers, lambda port: 0 if unheld(port) else EADDRINUSE
    )


def why(machine: Machine) -> InstallError:
    watched = watching(machine, limits=replace(LIMITS, ready=0.0))
    with pytest.raises(InstallError) as caught:
        watched.wait(Told().ctx)
    assert caught.value.code == "nodes-not-ready"
    assert "?" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def member(reason: str, message: str) -> Manifest:
    condition = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return Manifest(metadata={"name": NODE.name}, status={"conditions": [condition]})


def test_a_node_says_itself_what_it_waits_for() -> None:
    said = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
    error = why(Machine(ClusterSnapshot((NODE,), None, ours=True, members=(member("KubeletNotReady", said),))))
    assert "not ready: demo-control-plane, as its network does not start." in error.message
    assert said in error.evidence


def test_what_its_kubelet_logs_tells_why_the_api_is_silent() -> None:
    away = InstallError("api-unreachable", "It cannot be reached.")
    snapshot = ClusterSnapshot((NODE,), None, ours=True, kubectl_error=away, api_error=away)
    error = why(Machine(snapshot, 'E1 kubelet.go] "Failed" err="write /var/x: no space left on device"'))
    assert "its API does not answer, as there is no space left" in error.message
    assert error.hint == "docker system df; docker image prune"


def test_nodes_without_a_known_cause_are_named() -> None:
    error = why(Machine(ClusterSnapshot((NODE,), None, ours=True)))
    assert error.message == "The cluster did not get ready within 0 s: not ready: demo-control-plane."
    assert error.hint == "kind export logs --name demo"


class Watching:
    """kubectl, which says that a node got Ready; what is seen from then on is so."""

    def __init__(self, machine: Machine, then: ClusterSnapshot) -> None:
        self._machine, self._then = machine, then
        self.asked: list[str] = []

    def attempt(self, *arguments: str, **_: object) -> Captured:
        self.asked.append(" ".join(arguments))
        self._machine.snapshot = self._then
        return Captured(arguments, 0, "", "")

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": NODE.name, "namespace": "kube-node-lease"}}]


def test_a_node_that_boots_is_watched_and_not_asked_all_the_time() -> None:
    boots = ClusterSnapshot((NODE,), None, ours=True, members=(member("KubeletNotReady", "starting"),))
    machine = Machine(boots)
    kubectl = Watching(machine, ClusterSnapshot((NODE,), None, ours=True, members=(READY,)))
    watched = watching(machine, kubectl)
    assert watched.wait(Told().ctx) is machine.snapshot
    assert kubectl.asked == ["wait --for=condition=Ready nodes --all --timeout=30s"]


READY = Manifest(metadata={"name": NODE.name}, status={"conditions": [{"type": "Ready", "status": "True"}]})
WELL = ClusterSnapshot((NODE,), None, ours=True, members=(READY,))
QUICK = replace(LIMITS, ready=5.0, published=0.2, pause=0.01, longest_pause=0.1, try_port=0.01)


def test_while_an_api_is_silent_its_port_is_tried_and_no_program_is_started() -> None:
    tries: list[int] = []

    def answers(port: int) -> bool:
        tries.append(port)
        return len(tries) > 50

    machine = Machine(ClusterSnapshot((NODE,), None, ours=True, kubectl_error=AWAY, api_error=AWAY), then=[WELL])
    watching(machine, limits=QUICK, answers=answers).wait(Told().ctx)
    assert (machine.looks, len(tries), set(tries)) == (2, 51, {40000})


def test_an_api_that_answers_what_kubectl_does_not_like_is_asked_ever_less_often() -> None:
    machine = Machine(ClusterSnapshot((NODE,), None, ours=True, kubectl_error=AWAY, api_error=AWAY))
    with pytest.raises(InstallError, match="its API does not answer"):
        watching(machine, limits=replace(LIMITS, ready=1.0, pause=0.05, longest_pause=0.3)).wait(Told().ctx)
    assert machine.looks < 12


def test_an_api_that_answers_in_its_node_and_is_not_published_here_is_told_at_once() -> None:
    began = time.monotonic()
    machine = Machine(ClusterSnapshot((NODE,), None, ours=True, kubectl_error=AWAY, members=(READY,)))
    with pytest.raises(InstallError) as caught:
        watching(machine, limits=QUICK, answers=lambda _: False, unheld=lambda _: True).wait(Told().ctx)
    error = caught.value
    assert (error.code, error.retryable) == ("engine-remote", False)
    assert error.message.startswith("The container engine at unix:///srv/docker.sock publishes its ports on another")
    assert error.hint == "./create-cluster.sh delete --cluster demo"
    assert "127.0.0.1:40000" in error.evidence
    assert time.monotonic() - began < 2


def test_a_port_that_is_forwarded_late_is_waited_for() -> None:
    """What forwards the ports of a virtual machine notices a new one after some seconds."""
    began = time.monotonic()

    def late(_: int) -> bool:
        return time.monotonic() - began > 0.1

    machine = Machine(ClusterSnapshot((NODE,), None, ours=True, kubectl_error=AWAY, members=(READY,)), then=[WELL])
    watching(machine, limits=QUICK, answers=late, unheld=lambda port: not late(port)).wait(Told().ctx)
    assert machine.looks == 2


def test_a_cluster_has_come_back_when_nodes_and_their_manager_have_told_of_themselves_since() -> None:
    node = replace(NODE, created="2026-01-01T09:00:00Z", started="2026-01-01T10:00:00.5Z")
    before, after = "2026-01-01T09:59:59.000000Z", "2026-01-01T10:00:09.000000Z"
    for told, back in (
        ({}, False),
        ({NODE.name: before, MANAGER: after}, False),
        ({NODE.name: after, MANAGER: before}, False),
        ({NODE.name: after, MANAGER: after}, True),
        ({NODE.name: after}, True),  # one that keeps its lock elsewhere cannot be asked
    ):
        assert has_come_back([node], partial(dict, told)) is back
    at_its_first_start = replace(node, created="2026-01-01T09:59:58Z")
    assert has_come_back([at_its_first_start], dict), "what it says, it has said since"
