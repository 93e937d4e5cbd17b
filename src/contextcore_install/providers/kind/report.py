"""What a sight of a cluster comes to: its state, and what is wrong with it, with the remedies."""

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
from contextcore_install.providers.kind.engine import Node
from contextcore_install.providers.kind.inspector import ClusterSnapshot, conditions_of
from contextcore_install.providers.kind.network import detached, shared_network

EXPORT = "kind export kubeconfig --name {cluster}"
# k8s.io/client-go, tools/clientcmd/loader.go
_FILE = re.compile(r'error loading config file "([^"]+)"')


def report_of(
    cluster: str, sight: ClusterSnapshot, ports: Mapping[str, int], engine: str = "docker", network: str = "kind"
) -> ClusterReport:
    """Return what a sight comes to. The engine and its network are those that kind uses."""
    names = ", ".join(f"{node.name} ({node.state})" for node in sight.nodes)
    if not sight.nodes:
        return ClusterReport(ClusterState.ABSENT, f"no container is a node of {cluster}")
    if not sight.ours:
        return ClusterReport(ClusterState.FOREIGN, f"{names}: {_foreign_words(sight)}")
    if sight.owner is not None and not sight.owner.complete:
        return ClusterReport(ClusterState.PARTIAL, f"{names}: its creation did not come to its end")
    if not any(node.is_control_plane for node in sight.nodes):
        return ClusterReport(ClusterState.LOST, f"{names}: the control plane is gone, and nothing else answers")
    about = _Findings(cluster, sight, engine)
    about.note_network(network)
    if not sight.running:
        return ClusterReport(ClusterState.STOPPED, names, tuple(about.found))
    about.note_nodes()
    state = ClusterState.DEGRADED if about.found else ClusterState.HEALTHY
    about.note_context()
    about.note_rest(ports)
    return ClusterReport(state, names, tuple(about.found))


def _foreign_words(sight: ClusterSnapshot) -> str:
    if sight.owner is None and not sight.running:
        start = " ".join(node.name for node in sight.nodes)
        return f"nothing here says that it is ours; if it is, its own mark can be read after: docker start {start}"
    return "made by other means than this program"


class _Findings:
    """Collects what is wrong in a sight, by the rules about clusters."""

    def __init__(self, cluster: str, sight: ClusterSnapshot, engine: str) -> None:
        self.found: list[Finding] = []
        self._sight = sight
        self._is_cut_off = False
        self._facts = {
            "cluster": cluster,
            "engine": engine,
            "control_plane": " ".join(node.name for node in sight.nodes if node.is_control_plane),
            "export": EXPORT.format(cluster=cluster),
        }

    def note_network(self, default: str) -> None:
        """Note nodes that are off the network which they share."""
        network = shared_network(self._sight.nodes, default)
        off = [node.name for node in detached(self._sight.nodes, network)]
        commands = [f"{self._facts['engine']} network connect {network} {name}" for name in off]
        self._is_cut_off = any(node.is_control_plane and node.name in off for node in self._sight.nodes)
        if off:
            self._note(reasons.DETACHED, nodes=", ".join(off), network=network, connect=" && ".join(commands))

    def note_nodes(self) -> None:
        """Note an API server that does not answer, and nodes that are not Ready."""
        sight = self._sight
        if sight.silent is not None:
            lines = sight.silent.evidence.splitlines()
            self._note(reasons.API_SILENT, lines, said_by_kubectl=sight.silent.message)
        elif sight.unready:
            nodes = {"nodes": ", ".join(sight.unready), "restart": " ".join(sight.unready)}
            self._note(reasons.UNREADY, conditions_of(sight), **nodes)

    def note_context(self) -> None:
        """Note that kubectl does not reach the API from here, which answers in its own node, on the network."""
        if self._sight.misled and self._sight.api is not None and not self._is_cut_off:
            self.found.append(_unreached(self._facts, reasons.NO_CONTEXT, self._sight.api).finding)

    def note_rest(self, ports: Mapping[str, int]) -> None:
        """Note what stands in nobody's way yet, and what cannot be changed any more."""
        sight = self._sight
        if sight.owner is None:
            self._note(reasons.NO_NOTE, [sight.identity])
        if sight.cordoned:
            nodes, names = ", ".join(sight.cordoned), " ".join(sight.cordoned)
            self._note(reasons.CORDONED, nodes=nodes, uncordon=names, pods="wait" if sight.waiting else "run")
        if lost := lost_nodes(sight):
            self._note(reasons.NODES_LOST, count=str(lost))
        if other := other_ports(sight.nodes, ports):
            error = ports_fixed(other, ports)
            summary = "Ports are chosen when a cluster is made: name these, or delete it and install anew."
            self.found.append(Finding(error.code, error.message, remedy=Remedy(summary, error.hint)))

    def _note(self, reason: str, lines: Sequence[str] = (), **facts: str) -> None:
        evidence = Evidence("cluster", lines, reason=reason, facts={**self._facts, **facts})
        if found := diagnose(Subject.CLUSTER, evidence):
            self.found.append(found.finding)


def refusal(cluster: str, sight: ClusterSnapshot, engine: str) -> InstallError | None:
    """Return the error for an API that answers its own node in a way that neither waiting nor a restart heals."""
    about = _Findings(cluster, sight, engine)
    about.note_nodes()
    found = about.found[0] if about.found and sight.silent is not None else None
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


def unlike(cluster: str, nodes: Sequence[Node], options: Mapping[str, Any]) -> list[Finding]:
    """Return warnings where a cluster is not as options ask for that count when a cluster is made."""
    workers = sum(node.role == "worker" for node in nodes)
    images = sorted({node.image for node in nodes if node.is_member})
    asked = {"workers": options.get("workers"), "node-image": options.get("node_image")}
    has = {"workers": workers, "node-image": ", ".join(images)}
    remedy = Remedy(
        "It counts when a cluster is made: leave it out, or delete this one with its data and install anew.",
        own("delete", "--cluster", cluster),
        Risk.LOSES_DATA,
    )
    return [
        Finding(f"{name}-fixed", f"The cluster has {name} {has[name]}, not {wanted}.", remedy=remedy, warning=True)
        for name, wanted in asked.items()
        if wanted is not None and wanted != has[name]
    ]


def lost_nodes(sight: ClusterSnapshot) -> int:
    """Return how many of the nodes that were made are gone."""
    there = {node.id for node in sight.nodes}
    return len(set(sight.owner.nodes) - there) if sight.owner else 0


def nodes_lost(cluster: str, count: int) -> InstallError:
    """Return the error for a cluster some of whose nodes are gone: what was on them cannot be brought back."""
    facts = {"cluster": cluster, "count": str(count)}
    return explain(Subject.CLUSTER, Evidence("cluster", reason=reasons.NODES_LOST, facts=facts)).error()


def other_ports(nodes: Sequence[Node], ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports that the cluster has, where they are not those that are wanted."""
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
