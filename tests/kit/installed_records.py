"""The records of an installation of which no process runs, and commands on them in this process."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contextcore_install.cli.settings import parse
from contextcore_install.commands.backups import backup, begin_restore
from contextcore_install.core.dataclass import replace
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.storage.backup.restoring import place_records
from contextcore_install.storage.home import Home, make_home, make_private
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.system.clock import SystemClock

START_US = 1_700_000_000_000_000
SETTINGS = {"provider": "host", "ports": {}}
STORY = [
    Event(
        1,
        START_US,
        "run-1",
        Kind.INSTALLATION_STARTED,
        data={"installation_id": "abc", "provider": "host", "settings": SETTINGS},
    ),
    Event(2, START_US + 1, "run-1", Kind.RUN_STARTED, data={"mode": "install"}),
    Event(3, START_US + 2, "run-1", Kind.STEP_STARTED, "preflight", {"attempt": 1}),
    Event(4, START_US + 3, "run-1", Kind.STEP_COMPLETED, "preflight", {"duration_seconds": 1.0}),
]


def app(folder: Path, *words: str, **given: Any) -> App:
    """Return an invocation for the installation `test` of the home in a folder; `given` are fields of it."""
    streams = io.StringIO(), io.StringIO(), io.StringIO()
    environ = {"HOME": str(folder), "PATH": str(folder)}
    settings = parse([*words, "--cluster", "test"], {}, "./create-cluster.sh")
    return replace(App(settings, environ, Home(folder / "home"), *streams, SystemClock()), **given)


def write_records(folder: Path, story: Sequence[Event] = STORY) -> State:
    """Record an installation, of which the first step is done."""
    home = Home(folder / "home")
    make_home(home)
    layout = home.cluster("test")
    make_private(layout.folder)
    writer, state = JournalWriter(layout.journal), State("test")
    for event in story:
        writer.append(event)
        state.apply(event)
    StateWriter(layout.state, state, lambda: writer.offset).write()
    writer.close()
    return state


def make_backup(folder: Path, **given: Any) -> Path:
    """Back the installation up, and return the file."""
    target = folder / "kept.tar.gz"
    backup(app(folder, "backup", "-o", str(target), **given))
    return target


def put_back(folder: Path, source: Path, *words: str) -> App:
    """Restore as far as the records are placed, and return the invocation."""
    done = app(folder, "restore", str(source), "--yes", *words)
    _, prepared = begin_restore(done)
    assert prepared.lock
    prepared.lock.release()
    place_records(done.home, "test")
    return done
