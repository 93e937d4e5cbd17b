"""Nodes that do not get ready are told by their cause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import Engine, Node
from contextcore_install.providers.kind.inside import Inside
from contextcore_install.providers.kind.look import Look, Sight
from contextcore_install.providers.kind.readiness import LIMITS, Limits, Readiness
from contextcore_install.tools.capture import Captured
from fakes import Told

NODE = Node("id1", "demo-control-plane", "control-plane", "running", "", "", "image", {})


@dataclass
class Machine:
    """An engine and a look at the cluster: what the kubelet logs, and what is seen."""

    sight: Sight
    log: str = ""
    name: str = "docker"

    def ask(self, *arguments: str) -> Captured:
        assert arguments[:2] == ("exec", "demo-control-plane")
        return Captured(tuple(arguments), 0, self.log, "")

    def see(self, *, fresh: bool, thorough: bool = True) -> Sight:
        return self.sight


def watching(machine: Machine, kubectl: Any = None, limits: Limits = LIMITS) -> Readiness:
    engine = cast(Engine, machine)
    return Readiness("demo", engine, kubectl, cast(Look, machine), Inside(engine), lambda *_: None, limits)


def why(machine: Machine) -> InstallError:
    watched = watching(machine, limits=replace(LIMITS, ready=0.0))
    with pytest.raises(InstallError) as caught:
        watched.wait(Told().ctx)
    assert caught.value.code == "nodes-not-ready"
    assert "?" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def member(reason: str, message: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return {"metadata": {"name": NODE.name}, "status": {"conditions": [condition]}}


def test_a_node_says_itself_what_it_waits_for() -> None:
    said = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
    error = why(Machine(Sight((NODE,), None, ours=True, members=(member("KubeletNotReady", said),))))
    assert "not ready: demo-control-plane, as its network does not start." in error.message
    assert said in error.evidence


def test_what_its_kubelet_logs_tells_why_the_api_is_silent() -> None:
    away = InstallError("api-unreachable", "It cannot be reached.")
    sight = Sight((NODE,), None, ours=True, api=away, silent=away)
    error = why(Machine(sight, 'E1 kubelet.go] "Failed" err="write /var/x: no space left on device"'))
    assert "its API does not answer, as there is no space left" in error.message
    assert error.hint == "docker system df; docker image prune"


def test_nodes_without_a_known_cause_are_named() -> None:
    error = why(Machine(Sight((NODE,), None, ours=True)))
    assert error.message == "The cluster did not get ready within 0 s: not ready: demo-control-plane."
    assert error.hint == "kind export logs --name demo"


class Watching:
    """kubectl, which says that a node got Ready; what is seen from then on is so."""

    def __init__(self, machine: Machine, then: Sight) -> None:
        self._machine, self._then = machine, then
        self.asked: list[str] = []

    def attempt(self, *arguments: str, **_: object) -> Captured:
        self.asked.append(" ".join(arguments))
        self._machine.sight = self._then
        return Captured(arguments, 0, "", "")

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": NODE.name, "namespace": "kube-node-lease"}}]


def test_a_node_that_boots_is_watched_and_not_asked_all_the_time() -> None:
    ready = {"metadata": {"name": NODE.name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    boots = Sight((NODE,), None, ours=True, members=(member("KubeletNotReady", "starting"),))
    machine = Machine(boots)
    kubectl = Watching(machine, Sight((NODE,), None, ours=True, members=(ready,)))
    watched = watching(machine, kubectl)
    assert watched.wait(Told().ctx) is machine.sight
    assert kubectl.asked == ["wait --for=condition=Ready nodes --all --timeout=30s"]
