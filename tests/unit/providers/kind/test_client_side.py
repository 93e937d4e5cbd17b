"""An error of the client's side is told apart from a sick node: it leads to a new context, and to no restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ClusterState
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.cluster import NODE_LABEL, Owner
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.inspector import ClusterAccess, ClusterSnapshot, Inspector
from contextcore_install.providers.kind.readiness import Readiness, ReadinessLimits
from contextcore_install.providers.kind.report import refusal, report_of
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.system.process import Captured
from kit.fakes import Told
from unit.diagnosis.recordings import Recording, recordings

CONTROL_PLANE = Node("id1", "demo-control-plane", "control-plane", "running", "2026-01-01T10:00:05Z", "", "image", {})
WORKER = replace(CONTROL_PLANE, id="id2", name="demo-worker", role="worker")
OWNER = Owner("abc", "demo", 1767261600.0, (), ("id1", "id2"), complete=True, engine="docker")
REFUSED = "The connection to the server localhost:6443 was refused - did you specify the right host or port?"
AT_ONCE = ReadinessLimits(ready=0.3, restart_after=-1.0, pause=0.01, watch=0.0, ask_in_node=0.0, reached=0.0)

OF_THE_CLIENT = frozenset(
    {
        "context-missing", "kubeconfig-unreadable", "context-damaged", "api-proxy", "api-other-server",
        "api-unreachable", "api-credentials", "clock-behind", "api-forbidden", "kubectl-failed",
    }
)  # fmt: skip
"""The rules that kubectl's configuration on this machine can lead to."""
RECORDED = [item for item in recordings() if item.subject is Subject.KUBECTL and item.rule in OF_THE_CLIENT]


def member(node: Node, *, ready: bool = True) -> Manifest:
    condition = {"type": "Ready", "status": str(ready), "reason": "NodeStatusUnknown", "message": "x"}
    metadata = {"name": node.name, "labels": {NODE_LABEL: "abc"}}
    return Manifest(kind="Node", metadata=metadata, status={"conditions": [condition]})


@dataclass
class Machine:
    """An engine with two nodes, and a kubectl that fails with lines until its context is written anew.

    `heals` says that this helps. `inside` is why the API does not answer in its node; `sick` is what the worker prints
    of its health while it is not Ready.
    """

    lines: Sequence[str] = ()
    heals: bool = True
    inside: str = ""
    worker_ready: bool = True
    sick: str = ""
    restarted: list[str] = field(default_factory=list)
    written: int = 0
    name: str = "docker"

    # kubectl and what reads through it

    def items(self, *_: str) -> list[dict[str, Any]]:
        if self.lines and not (self.written and self.heals):
            raise kubectl_failure("kubectl get nodes", list(self.lines), {"context": "kind-demo"})
        return [member(CONTROL_PLANE), member(WORKER, ready=self.worker_ready)]

    def read(self, *, fresh: bool = False) -> Any:
        found = self.items()
        return SimpleNamespace(of_kind=lambda kind: found if kind == "Node" else [])

    def attempt(self, *arguments: str, **_: object) -> Captured:
        return Captured(arguments, 1, "", "timed out")

    # The engine

    def ask(self, *arguments: str, **_: object) -> Captured:
        if "systemctl is-active" in arguments[-1]:
            assert arguments[1] == WORKER.name
            return Captured(arguments, 0, self.sick, "")
        if "nodes" not in arguments:
            return Captured(arguments, 0, "", "")
        found = [member(CONTROL_PLANE), member(WORKER, ready=self.worker_ready)]
        return Captured(arguments, 1 if self.inside else 0, json.dumps({"items": found}), self.inside)

    def restart(self, node: Node, _: StepContext) -> None:
        self.restarted.append(node.name)

    # What is tried

    @property
    def inspector(self) -> Inspector:
        nodes, owners = TtlCache(lambda: [CONTROL_PLANE, WORKER]), SimpleNamespace(read=lambda: OWNER)
        me = cast(Any, self)
        return Inspector(ClusterAccess("demo", me, me, cast(Any, owners)), cast(Any, nodes), me)

    def write(self, _: ClusterSnapshot, __: StepContext) -> None:
        self.written += 1

    def wait(self) -> ClusterSnapshot:
        me = cast(Any, self)
        return Readiness(ClusterAccess("demo", me, me, me), self.inspector, self.write, AT_ONCE).wait(Told().ctx)


def named(item: Recording) -> str:
    return f"{item.rule}: {item.evidence.lines[-1][:60]}"


@pytest.mark.parametrize("recorded", RECORDED, ids=named)
def test_an_error_of_the_client_is_healed_by_a_new_context_and_restarts_no_node(recorded: Recording) -> None:
    machine = Machine(recorded.evidence.lines)
    report = report_of("demo", machine.inspector.inspect(), resolve_ports({}))
    assert report.state is ClusterState.HEALTHY
    (finding,) = report.findings
    assert finding.code in {"context-missing", "kubeconfig-unreadable"}
    assert not machine.wait().context_is_broken
    assert (machine.written, machine.restarted) == (1, [])


@pytest.mark.parametrize("recorded", RECORDED, ids=named)
def test_an_error_of_the_client_that_stays_is_said_at_once_and_restarts_no_node(recorded: Recording) -> None:
    machine = Machine(recorded.evidence.lines, heals=False)
    with pytest.raises(InstallError) as caught:
        machine.wait()
    assert caught.value.code in {"api-unreached", "kubeconfig-unreadable"}
    assert "?" not in caught.value.message
    assert (machine.written, machine.restarted) == (1, [])


def test_every_rule_of_the_client_is_recorded() -> None:
    assert {item.rule for item in RECORDED} == OF_THE_CLIENT


def test_an_api_that_is_dead_in_its_own_node_has_that_node_restarted_once() -> None:
    machine = Machine([REFUSED], heals=False, inside=REFUSED)
    report = report_of("demo", machine.inspector.inspect(), resolve_ports({}))
    assert (report.state, [finding.code for finding in report.findings]) == (ClusterState.DEGRADED, ["api-silent"])
    with pytest.raises(InstallError, match="its API does not answer"):
        machine.wait()
    assert (machine.written, machine.restarted) == (0, [CONTROL_PLANE.name])


@pytest.mark.parametrize(
    "said",
    [
        "x509: certificate has expired or is not yet valid: current time 2027-01-01T00:00:00Z is after 2026-11-30",
        "error: You must be logged in to the server (Unauthorized)",
        'OCI runtime exec failed: exec failed: "kubectl": executable file not found in $PATH: unknown',
    ],
)
def test_an_api_that_answers_its_own_node_with_an_error_is_not_dead(said: str) -> None:
    machine = Machine([said], heals=False, inside=said)
    with pytest.raises(InstallError):
        machine.wait()
    assert machine.restarted == []


def test_certificates_that_the_cluster_itself_refuses_are_said_with_what_renews_them() -> None:
    said = "x509: certificate has expired or is not yet valid: current time 2027-01-01T00:00:00Z is after 2026-11-30"
    refused = refusal("demo", Machine([said], inside=said).inspector.inspect(), "docker")
    assert refused is not None
    assert refused.code == "certificates-expired"
    assert refused.hint.startswith("docker exec demo-control-plane kubeadm certs renew all && ")
    assert refusal("demo", Machine([REFUSED], inside=REFUSED).inspector.inspect(), "docker") is None
    assert refusal("demo", Machine().inspector.inspect(), "docker") is None


def test_a_node_is_restarted_if_it_is_shown_to_be_sick() -> None:
    machine = Machine(worker_ready=False, sick="kubelet is inactive\n")
    with pytest.raises(InstallError, match="not ready: demo-worker"):
        machine.wait()
    assert machine.restarted == [WORKER.name]


def test_a_node_that_is_well_and_not_ready_is_not_restarted() -> None:
    machine = Machine(worker_ready=False)
    with pytest.raises(InstallError, match="not ready: demo-worker"):
        machine.wait()
    assert machine.restarted == []


def test_manifests_that_cannot_be_rendered_are_no_trouble_of_the_cluster() -> None:
    class Unrendered(Machine):
        def read(self, *, fresh: bool = False) -> Any:
            raise InstallError("kustomization-invalid", "The kustomization cannot be built.")

    report = report_of("demo", Unrendered().inspector.inspect(), resolve_ports({}))
    assert (report.state, report.findings) == (ClusterState.HEALTHY, ())


def test_a_user_who_may_not_see_the_nodes_is_told_from_nodes_that_are_not_ready() -> None:
    class Unseen(Machine):
        def items(self, *_: str) -> list[dict[str, Any]]:
            return []

    (finding,) = report_of("demo", Unseen().inspector.inspect(), resolve_ports({})).findings
    assert finding.code == "context-missing"
    assert "may not see the nodes" in finding.message
