"""What a snapshot of a cluster amounts to: its state, and what is wrong with it, with the remedies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.hints import own
from contextcore_install.core.provider import ClusterReport, ClusterState
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import Diagnosis, diagnose, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.config import mapped_ports
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.inspector import ClusterSnapshot, detached, shared_network

EXPORT = "kind export kubeconfig --name {cluster}"
# k8s.io/client-go, tools/clientcmd/loader.go
_FILE = re.compile(r'error loading config file "([^"]+)"')


def report_of(
    cluster: str, snapshot: ClusterSnapshot, ports: Mapping[str, int], engine: str = "docker", network: str = "kind"
) -> ClusterReport:
    """Return the state and the findings. The engine and its network are those that kind uses."""
    names = ", ".join(f"{node.name} ({node.state})" for node in snapshot.nodes)
    if not snapshot.nodes:
        return ClusterReport(ClusterState.ABSENT, f"no container is a node of {cluster}")
    if not snapshot.ours:
        return ClusterReport(ClusterState.FOREIGN, f"{names}: {_why_foreign(snapshot)}")
    if snapshot.owner is not None and not snapshot.owner.complete:
        return ClusterReport(ClusterState.PARTIAL, f"{names}: its creation did not come to its end")
    if snapshot.control_plane is None:
        return ClusterReport(ClusterState.LOST, f"{names}: the control plane is gone, and nothing else answers")
    findings = _Findings(cluster, snapshot, engine)
    findings.add_network(network)
    if not snapshot.running:
        return ClusterReport(ClusterState.STOPPED, names, tuple(findings.found))
    findings.add_nodes()
    state = ClusterState.DEGRADED if findings.found else ClusterState.HEALTHY
    findings.add_context()
    findings.add_rest(ports)
    return ClusterReport(state, names, tuple(findings.found))


def _why_foreign(snapshot: ClusterSnapshot) -> str:
    if snapshot.owner is None and not snapshot.running:
        start = " ".join(node.name for node in snapshot.nodes)
        return f"nothing here says that it is ours; if it is, its own mark can be read after: docker start {start}"
    return "made by other means than this program"


class _Findings:
    """Collects what is wrong in a snapshot, by the rules about clusters."""

    def __init__(self, cluster: str, snapshot: ClusterSnapshot, engine: str) -> None:
        self.found: list[Finding] = []
        self._snapshot = snapshot
        self._is_cut_off = False
        self._facts = {
            "cluster": cluster,
            "engine": engine,
            "control_plane": " ".join(node.name for node in snapshot.nodes if node.is_control_plane),
            "export": EXPORT.format(cluster=cluster),
        }

    def add_network(self, default: str) -> None:
        network = shared_network(self._snapshot.nodes, default)
        off = detached(self._snapshot.nodes, network)
        self._is_cut_off = any(node.is_control_plane for node in off)
        if off:
            connect = " && ".join(f"{self._facts['engine']} network connect {network} {node.name}" for node in off)
            names = ", ".join(node.name for node in off)
            self._add(reasons.DETACHED, nodes=names, network=network, connect=connect)

    def add_nodes(self) -> None:
        """Add an API server that does not answer, or nodes that are not Ready."""
        snapshot = self._snapshot
        if error := snapshot.api_error:
            self._add(reasons.API_SILENT, error.evidence.splitlines(), said_by_kubectl=error.message)
        elif names := snapshot.unready:
            self._add(reasons.UNREADY, snapshot.unready_conditions, nodes=", ".join(names), restart=" ".join(names))

    def add_context(self) -> None:
        """Add a context that does not lead to the API, which answers in its own node, on the network."""
        error = self._snapshot.kubectl_error
        if error is not None and self._snapshot.context_is_broken and not self._is_cut_off:
            self.found.append(_unreached(self._facts, reasons.NO_CONTEXT, error).finding)

    def add_rest(self, ports: Mapping[str, int]) -> None:
        """Add what does no harm yet, and what cannot be changed any more."""
        snapshot = self._snapshot
        if snapshot.owner is None:
            self._add(reasons.NO_NOTE, [snapshot.identity])
        if names := snapshot.cordoned:
            pods = "wait" if snapshot.waiting else "run"
            self._add(reasons.CORDONED, nodes=", ".join(names), uncordon=" ".join(names), pods=pods)
        if lost := snapshot.lost_nodes:
            self._add(reasons.NODES_LOST, count=str(lost))
        if other := other_ports(snapshot.nodes, ports):
            error = ports_fixed(other, ports)
            summary = "Ports are chosen when a cluster is made: name these, or delete it and install anew."
            self.found.append(Finding(error.code, error.message, remedy=Remedy(summary, error.hint)))

    def _add(self, reason: str, lines: Sequence[str] = (), **facts: str) -> None:
        evidence = Evidence("cluster", lines, reason=reason, facts={**self._facts, **facts})
        if found := diagnose(Subject.CLUSTER, evidence):
            self.found.append(found.finding)


def refusal(cluster: str, snapshot: ClusterSnapshot, engine: str) -> InstallError | None:
    """Return the error for an API that answers its own node in a way that neither waiting nor a restart heals."""
    if snapshot.api_error is None:
        return None
    findings = _Findings(cluster, snapshot, engine)
    findings.add_nodes()
    found = next(iter(findings.found), None)
    if found is None or found.remedy is None or found.remedy.automatic:
        return None
    return InstallError(found.code, found.message, found.evidence, found.remedy.command)


def unreached(cluster: str, error: InstallError) -> InstallError:
    """Return the error for kubectl's configuration that a new context does not heal: the cluster itself is well."""
    facts = {"cluster": cluster, "export": EXPORT.format(cluster=cluster)}
    return _unreached(facts, reasons.UNREACHED, error).error()


def _unreached(facts: Mapping[str, str], reason: str, error: InstallError) -> Diagnosis:
    """Explain why kubectl does not reach an API that answers; `reason` says whether a new context was tried."""
    file = _FILE.search(error.evidence)
    more = {
        "said_by_kubectl": error.message,
        "hint": error.hint,
        "why": error.code,
        "file": shlex.quote(file.group(1)) if file else "",
        "aside": shlex.quote(file.group(1) + ".aside") if file else "",
    }
    evidence = Evidence("cluster", error.evidence.splitlines(), reason=reason, facts={**facts, **more})
    return explain(Subject.CLUSTER, evidence)


def differing_options(cluster: str, nodes: Sequence[Node], options: Mapping[str, Any]) -> list[Finding]:
    """Return warnings for options that only count when a cluster is made, and that this one was not made with."""
    images = sorted({node.image for node in nodes if node.is_member})
    has = {"workers": sum(node.role == "worker" for node in nodes), "node-image": ", ".join(images)}
    remedy = Remedy(
        "It counts when a cluster is made: leave it out, or delete this one with its data and install anew.",
        own("delete", "--cluster", cluster),
        Risk.LOSES_DATA,
    )
    return [
        Finding(f"{name}-fixed", f"The cluster has {name} {has[name]}, not {wanted}.", remedy=remedy, warning=True)
        for name in has
        if (wanted := options.get(name.replace("-", "_"))) is not None and wanted != has[name]
    ]


def nodes_lost(cluster: str, count: int) -> InstallError:
    """Return the error for a cluster some of whose nodes are gone: what was on them cannot be brought back."""
    facts = {"cluster": cluster, "count": str(count)}
    return explain(Subject.CLUSTER, Evidence("cluster", reason=reasons.NODES_LOST, facts=facts)).error()


def other_ports(nodes: Sequence[Node], ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports of the cluster that are not the wanted ones."""
    bound = next((node.ports for node in nodes if node.is_control_plane), {})
    wanted = mapped_ports(ports)
    return {
        key: bound[inside][1] for inside, (key, here) in wanted.items() if inside in bound and bound[inside][1] != here
    }


def ports_fixed(other: Mapping[str, int], wanted: Mapping[str, int]) -> InstallError:
    """Return the error for a cluster with other ports than wanted: containers keep those that they were made with."""
    named = ", ".join(f"{key} {port}, not {wanted[key]}" for key, port in other.items())
    flags = [word for key, port in other.items() for word in ("--port", f"{key}={port}")]
    return InstallError("ports-fixed", f"The cluster was made with other ports: {named}.", hint=own("--resume", *flags))
