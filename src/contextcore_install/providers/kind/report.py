"""What a snapshot of a cluster amounts to: its state, and what is wrong with it, with the remedies."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.provider import ClusterReport, ClusterState
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import Diagnosis, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.config import mapped_ports
from contextcore_install.providers.kind.engine_info import Node, detached, shared_network
from contextcore_install.providers.kind.inspector import ClusterSnapshot

EXPORT = "kind export kubeconfig --name {cluster}"
_FILE = re.compile(r'error loading config file "([^"]+)"')  # k8s.io/client-go, tools/clientcmd/loader.go


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
    facts = _facts(cluster, snapshot, engine)
    shared = shared_network(nodes, network)
    off = detached(nodes, shared)
    found = _detached(facts, shared, [node.name for node in off])
    if not snapshot.running:
        return ClusterReport(ClusterState.STOPPED, names, tuple(found))
    if snapshot.is_starting(time.time()):
        names = f"{names}; {', '.join(snapshot.unready)} is at its first start"
    else:
        found += _not_ready(facts, snapshot)
    state = ClusterState.DEGRADED if found else ClusterState.HEALTHY
    if snapshot.kubectl_error and not snapshot.api_error and snapshot.control_plane not in off:
        found.append(unreached(cluster, snapshot.kubectl_error, reasons.NO_CONTEXT).finding)
    found += _harmless(facts, snapshot, ports)
    if state is ClusterState.HEALTHY:
        found += differing_options(cluster, nodes, options or {})
    return ClusterReport(state, names, tuple(found))


def _facts(cluster: str, snapshot: ClusterSnapshot, engine: str) -> dict[str, str]:
    control_plane = " ".join(node.name for node in snapshot.nodes if node.is_control_plane)
    export = EXPORT.format(cluster=cluster)
    return {"cluster": cluster, "engine": engine, "control_plane": control_plane, "export": export}


def _finding(facts: Mapping[str, str], reason: str, lines: Sequence[str] = (), **more: str) -> Finding:
    evidence = Evidence("cluster", lines, reason=reason, facts={**facts, **more})
    return explain(Subject.CLUSTER, evidence).finding


def _detached(facts: Mapping[str, str], network: str, names: Sequence[str]) -> list[Finding]:
    if not names:
        return []
    connect = " && ".join(f"{facts['engine']} network connect {network} {name}" for name in names)
    return [_finding(facts, reasons.DETACHED, nodes=", ".join(names), network=network, connect=connect)]


def _not_ready(facts: Mapping[str, str], snapshot: ClusterSnapshot) -> list[Finding]:
    if error := snapshot.api_error:
        return [_finding(facts, reasons.API_SILENT, error.evidence.splitlines(), said_by_kubectl=error.message)]
    if not (names := snapshot.unready):
        return []
    more = {"nodes": ", ".join(names), "restart": " ".join(names)}
    return [_finding(facts, reasons.UNREADY, snapshot.unready_conditions, **more)]


def _harmless(facts: Mapping[str, str], snapshot: ClusterSnapshot, ports: Mapping[str, int]) -> list[Finding]:
    """Return what does no harm yet, and what cannot be changed any more."""
    found = [_finding(facts, reasons.NO_NOTE, [snapshot.identity])] if snapshot.owner is None else []
    if names := snapshot.cordoned:
        pods = "wait" if snapshot.waiting else "run"
        found.append(_finding(facts, reasons.CORDONED, nodes=", ".join(names), uncordon=" ".join(names), pods=pods))
    if lost := snapshot.lost_count:
        found.append(_finding(facts, reasons.NODES_LOST, count=str(lost)))
    if other := other_ports(snapshot.nodes, ports):
        error = ports_fixed(other, ports)
        summary = "Ports are chosen when a cluster is made: name these, or delete it and install anew."
        found.append(Finding(error.code, error.message, remedy=Remedy(summary, error.hint)))
    return found


def refusal(cluster: str, snapshot: ClusterSnapshot, engine: str) -> InstallError | None:
    """Return the error for an API that answers its own node in a way that neither waiting nor a restart heals."""
    if snapshot.api_error is None:
        return None
    (found,) = _not_ready(_facts(cluster, snapshot, engine), snapshot)
    if found.remedy is None or found.remedy.automatic:
        return None
    return found.as_error(found.remedy.command)


def unreached(cluster: str, error: InstallError, reason: str = reasons.UNREACHED) -> Diagnosis:
    """Explain why kubectl does not reach an API that answers; `reason` says whether a new context was tried."""
    file = found[1] if (found := _FILE.search(error.evidence)) else ""
    facts = {"cluster": cluster, "export": EXPORT.format(cluster=cluster), "why": error.code, "hint": error.hint}
    facts |= {"file": file and shlex.quote(file), "aside": file and shlex.quote(f"{file}.aside")}
    facts["said_by_kubectl"] = error.message
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
