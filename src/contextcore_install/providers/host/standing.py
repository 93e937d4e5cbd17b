"""How the stack stands on this machine: where its data is, and where its processes listen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.hints import RESUME
from contextcore_install.core.requirements import DataPiece, Listener, Storage, socket_listener
from contextcore_install.providers.host.layout import DATA_MARK, read_json
from contextcore_install.system import machine
from contextcore_install.system.daemons import Daemons

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
"""File systems that a restart of the machine empties."""


def storage_in(component: str, folder: Path, pid: int) -> Storage:
    """Return how a component's data folder is; `pid` is that of its process, 0 where none runs."""
    place = str(folder)
    if finding := _trouble(component, folder, pid):
        return Storage(component, place, finding.evidence, finding, pieces=(_piece(folder),))
    kind = machine.file_system(folder)
    evidence = f"{folder}, on {kind}" if kind else place
    in_memory = kind in IN_MEMORY if kind else None
    return Storage(component, place, evidence, in_memory=in_memory, pieces=(_piece(folder),))


def _piece(folder: Path) -> DataPiece:
    mark = read_json(folder / DATA_MARK) or {}
    return DataPiece(folder.name, str(mark.get("id", "")), str(mark.get("since", "")))


def _trouble(component: str, folder: Path, pid: int) -> Finding | None:
    try:
        facts = folder.stat()
    except OSError as error:
        end = f"kill {pid} && " if pid else ""
        remedy = Remedy("Start it anew: it makes its folder.", f"{end}{RESUME}", Risk.RESTARTS)
        message = f"The data folder of {component} is not there: {folder}."
        return Finding("data-missing", message, error.strerror or str(error), remedy)
    # A folder of another user's is no place of ours, even where root may write there.
    if facts.st_uid == os.getuid() and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return None
    seen = f"{folder} has mode {facts.st_mode & 0o7777:o}, uid {facts.st_uid}; this is uid {os.getuid()}"
    command = f'sudo chown -R "$(id -un)" {folder} && chmod -R u+rwX {folder}'
    message = f"The data folder of {component} cannot be written: {folder}."
    return Finding("data-unwritable", message, seen, Remedy("Give it to this user.", command))


def listeners(daemons: Daemons) -> Iterator[Listener]:
    """Yield where the processes listen, those that they started included."""
    for name in daemons.names():
        sighting = daemons.look(name)
        if sighting.alive and sighting.record:
            for address, port in machine.listening(sighting.record.pid):
                yield socket_listener(name, address, port)
