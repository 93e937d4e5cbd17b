"""What is told of a cluster: its state, what is wrong with it, with the remedies, and evidence for a diagnosis."""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import asdict
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import READ_BYTES, ClusterReport, ClusterState, Collector, Piece
from contextcore_install.core.redaction import HIDDEN
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import Diagnosis, Evidence, explain
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.cluster import mapped_ports
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node, detached, shared_network
from contextcore_install.providers.kind.inspector import ClusterSnapshot
from contextcore_install.system import process
from contextcore_install.system.files import tail
from contextcore_install.system.lock import work_folder

EXPORT = "kind export kubeconfig --name {cluster}"
_FILE = re.compile(r'error loading config file "([^"]+)"')  # k8s.io/client-go, tools/clientcmd/loader.go
FOLDER = "kind"
# How a kubelet prints a variable of a container that it cannot start (k8s.io/api/core/v1, generated.pb.go)
_VALUE = re.compile(r"(EnvVar\{Name:[^,}]{0,200},Value:).{1,20000}?(?=,ValueFrom:)", re.DOTALL)
_DUPLICATES = "containers"  # of an export: the same logs as in `pods`, by other names
LOG_LINES = "400"
EXPORT_BYTES = 6 * 1024 * 1024  # of what `kind export logs` writes, over all its files
_READ_S = 2.0  # for reading what was exported; the export ends so much earlier


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
    names = " ".join(node.name for node in snapshot.nodes if node.is_control_plane)
    return {"cluster": cluster, "engine": engine, "control_plane": names, "export": EXPORT.format(cluster=cluster)}


def explained(reason: str, *lines: str, **facts: str) -> Diagnosis:
    """Return what a reason of ours means of a cluster."""
    return explain(Subject.CLUSTER, Evidence("cluster", lines, reason=reason, facts=facts))


def _detached(facts: Mapping[str, str], network: str, names: Sequence[str]) -> list[Finding]:
    if not names:
        return []
    connect = " && ".join(f"{facts['engine']} network connect {network} {name}" for name in names)
    return [explained(reasons.DETACHED, **facts, nodes=", ".join(names), network=network, connect=connect).finding]


def _not_ready(facts: Mapping[str, str], snapshot: ClusterSnapshot) -> list[Finding]:
    if error := snapshot.api_error:
        lines = error.evidence.splitlines()
        return [explained(reasons.API_SILENT, *lines, **facts, said_by_kubectl=error.message).finding]
    if not (names := snapshot.unready):
        return []
    more = {**facts, "nodes": ", ".join(names), "restart": " ".join(names)}
    return [explained(reasons.UNREADY, *snapshot.unready_conditions, **more).finding]


def _harmless(facts: Mapping[str, str], snapshot: ClusterSnapshot, ports: Mapping[str, int]) -> list[Finding]:
    """Return what does no harm yet, and what cannot be changed any more."""
    found = [explained(reasons.NO_NOTE, snapshot.identity, **facts)] if snapshot.owner is None else []
    if names := snapshot.cordoned:
        more = {"nodes": ", ".join(names), "uncordon": " ".join(names), "pods": "wait" if snapshot.waiting else "run"}
        found.append(explained(reasons.CORDONED, **facts, **more))
    if lost := snapshot.lost_count:
        found.append(explained(reasons.NODES_LOST, **facts, count=str(lost)))
    if other := other_ports(snapshot.nodes, ports):
        found.append(ports_fixed(other, ports))
    return [item.finding for item in found]


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
    return explained(reason, *error.evidence.splitlines(), **facts, said_by_kubectl=error.message)


def differing_options(cluster: str, nodes: Sequence[Node], options: Mapping[str, Any]) -> list[Finding]:
    """Return warnings for options that only count when a cluster is made, and that this one was not made with."""
    images = sorted({node.image for node in nodes if node.is_member})
    workers = sum(node.role == "worker" for node in nodes)
    has = {reasons.WORKERS_FIXED: workers, reasons.NODE_IMAGE_FIXED: ", ".join(images)}
    return [
        explained(name, cluster=cluster, has=str(has[name]), wanted=str(wanted)).finding
        for name in has
        if (wanted := options.get(name.replace("-", "_"))) is not None and wanted != has[name]
    ]


def other_ports(nodes: Sequence[Node], ports: Mapping[str, int]) -> dict[str, int]:
    bound = next((node.ports for node in nodes if node.is_control_plane), {})
    has = {key: (bound[inside][1], here) for inside, (key, here) in mapped_ports(ports).items() if inside in bound}
    return {key: port for key, (port, wanted) in has.items() if port != wanted}


def ports_fixed(other: Mapping[str, int], wanted: Mapping[str, int]) -> Diagnosis:
    """Explain that a cluster has other ports than wanted: containers keep those that they were made with."""
    named = ", ".join(f"{key} {port}, not {wanted[key]}" for key, port in other.items())
    flags = " ".join(f"--port {key}={port}" for key, port in other.items())
    return explained(reasons.PORTS_FIXED, named=named, flags=flags)


def engine_evidence(cluster: str, engine: ContainerEngine, kind: Callable[[], str]) -> list[Collector]:
    """Return what tells of the engine and of the nodes' containers, and last what `kind export logs` writes."""

    def about(_: StepContext) -> Iterator[Piece]:
        info, finding = engine.trouble()
        found = {**asdict(info), "host": HIDDEN} if info else {"trouble": finding.as_document() if finding else {}}
        known = {"engine": engine.name, "endpoint": engine.endpoint.shown, "product": engine.product(info=info).name}
        yield f"{FOLDER}/engine.json", {**known, **found}
        yield f"{FOLDER}/nodes.json", {"nodes": [asdict(node) for node in engine.nodes(cluster)]}

    def logs(ctx: StepContext) -> Iterator[Piece]:
        for node in engine.nodes(cluster):
            done = engine.ask("logs", "--tail", LOG_LINES, node.name, ctx=ctx)
            yield f"{FOLDER}/{node.name}.log", (done.stdout + done.stderr)[-READ_BYTES:]

    def export(ctx: StepContext) -> Iterator[Piece]:
        if not engine.nodes(cluster):
            return
        parent = Path(engine.environ.get("TMPDIR") or tempfile.gettempdir())
        with work_folder(parent, "contextcore-logs-") as folder:
            argv, limit_s = [kind(), "export", "logs", str(folder), "--name", cluster], ctx.remaining_s - _READ_S
            try:
                process.run(argv, ctx, environ=engine.environ, timeout_s=max(1.0, limit_s))
            finally:  # a node that does not run has still left something
                yield from _exported(folder, ctx)

    engines, nodes = Collector("the container engine", about), Collector("the nodes' containers", logs)
    return [engines, nodes, Collector("kind export logs", export, slow=True)]


def without_values(log: str) -> str:
    """Return a kubelet's log without the values of environment variables: any of them may be secret."""
    return _VALUE.sub(rf"\1{HIDDEN}", log)


def _exported(folder: Path, ctx: StepContext) -> Iterator[Piece]:
    left = EXPORT_BYTES
    for path in sorted(folder.rglob("*")):
        ctx.raise_if_cancelled()
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and left > 0 and _DUPLICATES not in relative.parts:
            text = without_values(tail(path, min(READ_BYTES, left)))
            if "\0" not in text:  # logins and the like, in a form of their own
                left -= len(text)
                yield f"{FOLDER}/export/{relative}", text
