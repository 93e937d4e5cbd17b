"""What the processes on this machine leave behind for a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import READ_BYTES, Collector, Piece
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.redaction import command_line
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.render import CONTACT_POINTS
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.files import tail
from contextcore_install.system.machine import listening

_LEFT_OUT = frozenset({CONTACT_POINTS, "dashboards"})
"""Of the configurations: what consists of secrets, and what is the same everywhere."""


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
        sockets = listening(record.pid) if record and sighting.alive else []
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
