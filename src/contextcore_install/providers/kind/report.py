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
from contextcore_install.diagnosis.diagnose import Diagnosis, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.config import mapped_ports
from contextcore_install.providers.kind.engine_info import Node, detached, shared_network
from contextcore_install.providers.kind.inspector import ClusterSnapshot

EXPORT = "kind export kubeconfig --name {cluster}"
# k8s.io/client-go, tools/clientcmd/loader.go
_FILE = re.compile(r'error loading config file "([^"]+)"')


def report_of(
    cluster: str,
    snapshot: ClusterSnapshot,
    ports: Mapping[str, int],
    engine: str = "docker",
    network: str = "kind",
    options: Mapping[str, Any] | None = None,
) -> ClusterReport:
    """Return the state and the findings. The engine and its network are those that kind uses."""
    nodes, owner = snapshot.nodes, snapshot.owner
    names = ", ".join(f"{node.name} ({node.state})" for node in nodes)
    if not nodes:
        return ClusterReport(ClusterState.ABSENT, f"no container is a node of {cluster}")
    if not snapshot.ours:
        why = "made by other means than this program"
        if owner is None and not snapshot.running:
            start = f"docker start {' '.join(node.name for node in nodes)}"
            why = f"nothing here says that it is ours; if it is, its own mark can be read after: {start}"
        return ClusterReport(ClusterState.FOREIGN, f"{names}: {why}")
    if owner is not None and not owner.complete:
        return ClusterReport(ClusterState.PARTIAL, f"{names}: its creation did not come to its end")
    if snapshot.control_plane is None:
        return ClusterReport(ClusterState.LOST, f"{names}: the control plane is gone, and nothing else answers")
    findings = _Findings(cluster, snapshot, engine)
    off = findings.add_network(network)
    if not snapshot.running:
        return ClusterReport(ClusterState.STOPPED, names, tuple(findings.found))
    findings.add_nodes()
    state = ClusterState.DEGRADED if findings.found else ClusterState.HEALTHY
    if snapshot.kubectl_error and not snapshot.api_error and snapshot.control_plane not in off:
        findings.found.append(_unreached(findings.facts, reasons.NO_CONTEXT, snapshot.kubectl_error).finding)
    findings.add_rest(ports)
    if state is ClusterState.HEALTHY:
        findings.found += differing_options(cluster, nodes, options or {})
    return ClusterReport(state, names, tuple(findings.found))


class _Findings:
    """Collects what is wrong in a snapshot, by the rules about clusters."""

    def __init__(self, cluster: str, snapshot: ClusterSnapshot, engine: str) -> None:
        self.found: list[Finding] = []
        self._snapshot = snapshot
        self.facts = {
            "cluster": cluster,
            "engine": engine,
            "control_plane": " ".join(node.name for node in snapshot.nodes if node.is_control_plane),
            "export": EXPORT.format(cluster=cluster),
        }

    def _add(self, reason: str, lines: Sequence[str] = (), **facts: str) -> None:
        evidence = Evidence("cluster", lines, reason=reason, facts={**self.facts, **facts})
        self.found.append(explain(Subject.CLUSTER, evidence).finding)

    def add_network(self, default: str) -> Sequence[Node]:
        """Add nodes that are off the network that they share, and return them."""
        network = shared_network(self._snapshot.nodes, default)
        off = detached(self._snapshot.nodes, network)
        if off:
            connect = " && ".join(f"{self.facts['engine']} network connect {network} {node.name}" for node in off)
            names = ", ".join(node.name for node in off)
            self._add(reasons.DETACHED, nodes=names, network=network, connect=connect)
        return off

    def add_nodes(self) -> None:
        snapshot = self._snapshot
        if error := snapshot.api_error:
            self._add(reasons.API_SILENT, error.evidence.splitlines(), said_by_kubectl=error.message)
        elif names := snapshot.unready:
            self._add(reasons.UNREADY, snapshot.unready_conditions, nodes=", ".join(names), restart=" ".join(names))

    def add_rest(self, ports: Mapping[str, int]) -> None:
        """Add what does no harm yet, and what cannot be changed any more."""
        snapshot = self._snapshot
        if snapshot.owner is None:
            self._add(reasons.NO_NOTE, [snapshot.identity])
        if names := snapshot.cordoned:
            pods = "wait" if snapshot.waiting else "run"
            self._add(reasons.CORDONED, nodes=", ".join(names), uncordon=" ".join(names), pods=pods)
        if lost := snapshot.lost_count:
            self._add(reasons.NODES_LOST, count=str(lost))
        if other := other_ports(snapshot.nodes, ports):
            error = ports_fixed(other, ports)
            summary = "Ports are chosen when a cluster is made: name these, or delete it and install anew."
            self.found.append(Finding(error.code, error.message, remedy=Remedy(summary, error.hint)))


def refusal(cluster: str, snapshot: ClusterSnapshot, engine: str) -> InstallError | None:
    """Return the error for an API that answers its own node in a way that neither waiting nor a restart heals."""
    if snapshot.api_error is None:
        return None
    findings = _Findings(cluster, snapshot, engine)
    findings.add_nodes()
    found = findings.found[0]
    if found.remedy is None or found.remedy.automatic:
        return None
    return InstallError(found.code, found.message, found.evidence, found.remedy.command)


def unreached(cluster: str, error: InstallError) -> InstallError:
    """Return the error for kubectl's configuration that a new context does not heal: the cluster itself is healthy."""
    facts = {"cluster": cluster, "export": EXPORT.format(cluster=cluster)}
    return _unreached(facts, reasons.UNREACHED, error).error()


def _unreached(facts: Mapping[str, str], reason: str, error: InstallError) -> Diagnosis:
    """Explain why kubectl does not reach an API that answers; `reason` says whether a new context was tried."""
    file = found[1] if (found := _FILE.search(error.evidence)) else ""
    quoted = {"file": shlex.quote(file), "aside": shlex.quote(f"{file}.aside")} if file else {"file": "", "aside": ""}
    facts = {**facts, **quoted, "said_by_kubectl": error.message, "hint": error.hint, "why": error.code}
    return explain(Subject.CLUSTER, Evidence("cluster", error.evidence.splitlines(), reason=reason, facts=facts))


def differing_options(cluster: str, nodes: Sequence[Node], options: Mapping[str, Any]) -> list[Finding]:
    """Return warnings for options that only count when a cluster is made, and that this one was not made with."""
    images = sorted({node.image for node in nodes if node.is_member})
    has = {"workers": sum(node.role == "worker" for node in nodes), "node-image": ", ".join(images)}
    summary = "It counts when a cluster is made: leave it out, or delete this one with its data and install anew."
    remedy = Remedy(summary, own("delete", "--cluster", cluster), Risk.LOSES_DATA)
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
    bound = next((node.ports for node in nodes if node.is_control_plane), {})
    has = {key: (bound[inside][1], here) for inside, (key, here) in mapped_ports(ports).items() if inside in bound}
    return {key: port for key, (port, wanted) in has.items() if port != wanted}


def ports_fixed(other: Mapping[str, int], wanted: Mapping[str, int]) -> InstallError:
    """Return the error for a cluster with other ports than wanted: containers keep those that they were made with."""
    named = ", ".join(f"{key} {port}, not {wanted[key]}" for key, port in other.items())
    flags = [word for key, port in other.items() for word in ("--port", f"{key}={port}")]
    return InstallError("ports-fixed", f"The cluster was made with other ports: {named}.", hint=own("--resume", *flags))
