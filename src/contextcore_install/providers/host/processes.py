"""The stack's processes: how each of them is, who listens in its place, and what they leave behind for a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import READ_BYTES, Collector, Endpoint, Piece, Workload
from contextcore_install.core.redaction import command_line
from contextcore_install.core.requirements import Listener, socket_listener
from contextcore_install.diagnosis.diagnose import READ_LINES, Evidence, explain
from contextcore_install.diagnosis.reasons import NOT_INSTALLED, NOT_RUNNING, PROGRAM_GONE, SUSPENDED
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.render import CONTACT_POINTS
from contextcore_install.stack.catalogue import METRICS_STORE, MIMIR, Component, MetricsStore, Port
from contextcore_install.system import machine
from contextcore_install.system.daemons import MARKER, Daemons, Sighting
from contextcore_install.system.files import tail
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.system.ports import takes_connections

ANSWER_WITHIN_S = 2.0
EARLY_INTERVAL_S, LATER_INTERVAL_S, EARLY_CHECKS = 0.1, 0.4, 50  # most components are ready within a second
_LEFT_OUT = frozenset({CONTACT_POINTS, "dashboards"})  # what consists of secrets, and what is the same everywhere


@dataclass(frozen=True, slots=True)
class Watched:
    """A component that should run, and what rules refer to; one that `is_installed` has its configuration in place."""

    component: Component
    endpoint: Endpoint
    facts: Mapping[str, str]
    has_program: bool
    is_installed: bool

    @property
    def name(self) -> str:
        return self.component.name


def conditions(daemons: Daemons, watched: Sequence[Watched]) -> list[Workload]:
    """Check components, all at the same time."""
    with ThreadPoolExecutor(max(1, len(watched))) as pool:
        return list(pool.map(partial(_condition, daemons), watched))


def changes(daemons: Daemons, watched: Sequence[Watched], ctx: StepContext) -> Iterator[list[Workload]]:
    """Yield the conditions now and at every change, for ever; raises CancelledError when the step is to end."""
    before: list[Workload] | None = None
    for checks in count(1):
        ctx.raise_if_cancelled()
        workloads = conditions(daemons, watched)
        if workloads != before:
            before = workloads
            yield workloads
        ctx.wait(EARLY_INTERVAL_S if checks < EARLY_CHECKS else LATER_INTERVAL_S)


def _condition(daemons: Daemons, item: Watched) -> Workload:
    sighting = daemons.look(item.name)
    if not sighting.alive:
        return _dead(daemons, item, sighting)
    try:
        answer = LoopbackHttp().get(item.endpoint.ready_url, ANSWER_WITHIN_S)
    except InstallError as error:
        reason = SUSPENDED if daemons.is_suspended(item.name) else ""
        evidence = Evidence(item.name, reason=reason, error=error.code, facts=item.facts)
    else:
        if item.endpoint.is_ready(answer.status):
            # A process that cannot have its port dies of it, and until then another one may answer in its place.
            sighting = daemons.look(item.name)
            ready = Workload(item.name, ready=True, condition="ready")
            return ready if sighting.alive else _dead(daemons, item, sighting)
        evidence = Evidence(item.name, http_status=answer.status, http_text=answer.text, facts=item.facts)
    found = explain(Subject.HTTP, evidence)
    return Workload(item.name, False, found.condition or found.finding.message, found.problem)


def _dead(daemons: Daemons, item: Watched, sighting: Sighting) -> Workload:
    lines, reason = [sighting.note], NOT_RUNNING
    if not item.is_installed and sighting.record is None:
        reason = NOT_INSTALLED
    elif not item.has_program:
        reason = PROGRAM_GONE
    elif sighting.record is not None and not sighting.rebooted:
        lines, reason = daemons.last_words(item.name, READ_LINES), ""
    evidence = Evidence(item.name, lines, sighting.exit_code, reason, facts=item.facts)
    return Workload(item.name, False, reason or "ended", explain(Subject.PROCESS, evidence).finding)


def used_ports(component: Component, store: MetricsStore | None) -> Sequence[Port]:
    """Return the ports that a component listens on: only Mimir of the metrics stores has a second one."""
    if component.name == METRICS_STORE and store is not MIMIR:
        return [port for port in component.ports if port.key == METRICS_STORE]
    return component.ports


def stranger_in_place(
    component: Component, store: MetricsStore | None, ports: Mapping[str, int], daemons: Daemons
) -> str:
    """Describe who listens in a component's place, without binding a port that it may be about to have; else empty."""
    wanted = (ports[port.key] for port in used_ports(component, store))
    taken = [number for number in wanted if takes_connections(number)]
    own = daemons.pid(component.name) if taken else 0
    held = ((number, other_holder(number, own)) for number in taken)
    return next((f"port {number} is held by {who}" for number, who in held if who), "")


def other_holder(port: int, own: int) -> str:
    """Describe who holds a port that somebody listens on; empty if it is the process `own`, or one that it started.

    If this user may not know who it is, it is taken for `own` as long as that lives; 0 is nobody.
    """
    if own and machine.listens(own, port):
        return ""
    holder = machine.listener(port)
    if own and (holder is None or machine.descends_from(holder.pid, own)):
        return ""
    if holder is None:
        return "another program"
    if not (mark := machine.environment_of(holder.pid, MARKER)):
        return holder.label
    record = Path(mark)  # …/clusters/NAME/host/run/COMPONENT.pid
    cluster = record.parents[2] if len(record.parents) > 2 else record
    return f"{holder.label}, the {record.stem} of the cluster {cluster.name} (its files are in {cluster})"


def listeners(daemons: Daemons) -> list[Listener]:
    """Return where the processes listen, those that they started included."""
    pids = {name: pid for name in daemons.names() if (pid := daemons.pid(name))}
    return [socket_listener(name, *place) for name, pid in pids.items() for place in machine.listening(pid)]


def evidence_of(layout: Layout, daemons: Daemons) -> Sequence[Collector]:
    return [
        Collector("the processes", lambda _: _processes(daemons)),
        Collector("the processes' logs", lambda ctx: _texts(layout.logs, "host/logs", ctx)),
        Collector("the configurations", lambda ctx: _texts(layout.config, "host/config", ctx)),
        Collector("the host's notes", lambda ctx: _texts(layout.root, "host", ctx, pattern="*.json")),
    ]


def _processes(daemons: Daemons) -> Iterator[Piece]:
    found = {}
    for name in daemons.names():
        sighting = daemons.look(name)
        record = sighting.record
        sockets = machine.listening(record.pid) if record and sighting.alive else []
        found[name] = {
            "alive": sighting.alive,
            "note": sighting.note,
            "exit_code": sighting.exit_code,
            "rebooted": sighting.rebooted,
            "pid": record.pid if record else None,
            "started": record.started if record else None,
            "command": command_line(record.argv) if record else "",
            "listens": [f"{address}:{port}" for address, port in sockets],
        }
    yield "host/processes.json", found


def _texts(folder: Path, name: str, ctx: StepContext, pattern: str = "**/*") -> Iterator[Piece]:
    """Yield the ends of the files in a folder; then raise InstallError if some cannot be read."""
    unreadable = []
    for path in sorted(folder.glob(pattern)):
        ctx.raise_if_cancelled()
        relative = path.relative_to(folder)
        if path.is_dir() or not _LEFT_OUT.isdisjoint(relative.parts):
            continue
        try:
            yield f"{name}/{relative}", tail(path, READ_BYTES)
        except OSError as error:
            unreadable.append(f"{relative}: {error.strerror}")
    if unreadable:
        raise InstallError("unreadable", f"These files cannot be read: {', '.join(unreadable[:10])}.")
