"""A backup that is made can be put back, whatever is wrong with the records that it is made of."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.app import App
from contextcore_install.commands import backup, restore
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.state import State
from contextcore_install.settings import parse
from contextcore_install.storage.journal import JournalWriter
from contextcore_install.storage.layout import Home, make_home, make_private
from contextcore_install.storage.restoring import place_records
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.storage.store import mend_records
from contextcore_install.tools.clock import SystemClock

START_US = 1_700_000_000_000_000
STORY = [
    Event(
        1,
        START_US,
        "run-1",
        Kind.INSTALLATION_STARTED,
        data={"installation_id": "abc", "provider": "host", "settings": {"provider": "host", "ports": {}}},
    ),
    Event(2, START_US + 1, "run-1", Kind.RUN_STARTED, data={"mode": "install"}),
    Event(3, START_US + 2, "run-1", Kind.STEP_STARTED, "preflight", {"attempt": 1}),
    Event(4, START_US + 3, "run-1", Kind.STEP_COMPLETED, "preflight", {"duration_seconds": 1.0}),
]


def app(folder: Path, *words: str) -> App:
    streams = io.StringIO(), io.StringIO(), io.StringIO()
    environ = {"HOME": str(folder), "PATH": str(folder)}
    settings = parse([*words, "--cluster", "test"], {}, "./create-cluster.sh")
    return App(settings, environ, Home(folder / "home"), *streams, SystemClock())


def write_records(folder: Path) -> State:
    """Record an installation of which the first step is done."""
    home = Home(folder / "home")
    make_home(home)
    layout = home.cluster("test")
    make_private(layout.folder)
    writer, state = JournalWriter(layout.journal), State("test")
    for event in STORY:
        writer.append(event)
        state.apply(event)
    StateWriter(layout.state).save(state, writer.mark)
    writer.close()
    return state


def put_back(folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Restore as far as the records are placed, and return what did."""
    done = app(folder, "restore", str(source), "--yes", "--no-backup")
    monkeypatch.setattr(restore, "carry_out", lambda *_, lock, **__: lock.release())
    restore.run(done)
    place_records(done.home, "test")
    return done


SPOILT: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "torn": lambda path: path.write_bytes(b'{"version": "1.0", "cl'),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", ["install-state.json", "journal.jsonl"])
@pytest.mark.parametrize("what", SPOILT)
def test_a_backup_is_put_back_whatever_its_records_were_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, name: str
) -> None:
    state = write_records(tmp_path)
    spoilt = Home(tmp_path / "home").cluster("test").folder / name
    spoilt.unlink()
    SPOILT[what](spoilt)
    backup.run(app(tmp_path, "backup", "-o", str(tmp_path / "kept.tar.gz")))
    back = put_back(tmp_path, tmp_path / "kept.tar.gz", monkeypatch)
    records = mend_records(back.layout, "test")
    assert (records.state.as_document(), records.notices) == (state.as_document(), [])


def test_a_change_that_is_not_recorded_yet_is_recorded_by_whoever_restores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_records(tmp_path)
    path = Home(tmp_path / "home").cluster("test").state
    path.write_text(path.read_text().replace("completed", "failed", 1))
    backup.run(app(tmp_path, "backup", "-o", str(tmp_path / "kept.tar.gz")))
    back = put_back(tmp_path, tmp_path / "kept.tar.gz", monkeypatch)
    imported = mend_records(back.layout, "test").imported
    assert imported
    assert imported["changes"] == ["preflight: completed -> failed"]


def test_a_folder_without_records_and_data_is_nothing_to_back_up(tmp_path: Path) -> None:
    write_records(tmp_path)
    for path in Home(tmp_path / "home").cluster("test").folder.iterdir():
        path.unlink()
    with pytest.raises(InstallError, match="no installation test to back up"):
        backup.run(app(tmp_path, "backup"))
