"""Opening an installation's records, whatever state they are in: nothing is lost, nothing overwritten."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.state import State
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular, unusable, write_atomically
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.storage.state_file import StateWriter, load_state
from contextcore_install.storage.store import mend_records, read_records

START_US = 1_700_000_000_000_000


@pytest.fixture
def layout(tmp_path: Path) -> ClusterLayout:
    return ClusterLayout(tmp_path)


def events(*kinds: tuple[Kind, str]) -> list[Event]:
    base: list[tuple[Kind, str]] = [(Kind.INSTALLATION_STARTED, ""), (Kind.RUN_STARTED, "")]
    return [
        Event(number, START_US + number * 1_000_000, "run-1", kind, step, _data(kind))
        for number, (kind, step) in enumerate([*base, *kinds], 1)
    ]


def _data(kind: Kind) -> dict[str, Any]:
    data: dict[Kind, dict[str, Any]] = {
        Kind.INSTALLATION_STARTED: {"installation_id": "abc", "provider": "host", "settings": {}},
        Kind.RUN_STARTED: {"mode": "install"},
        Kind.STEP_STARTED: {"attempt": 1},
        Kind.STEP_COMPLETED: {"duration_seconds": 1.0},
    }
    return data.get(kind, {})


def write(layout: ClusterLayout, journaled: Sequence[Event], in_state: int | None = None) -> State:
    """Write a journal, and a state file that holds its first `in_state` events."""
    writer = JournalWriter(layout.journal)
    state = State("test")
    states = StateWriter(layout.state, state, lambda: writer.offset)
    for number, event in enumerate(journaled, 1):
        writer.append(event)
        state.apply(event)
        if number == in_state:
            states.write()
    writer.close()
    return state


STORY = events(
    (Kind.STEP_STARTED, "preflight"), (Kind.STEP_COMPLETED, "preflight"), (Kind.STEP_STARTED, "cluster_create")
)


MADE_ANEW = "install-state.json was gone: the state is made from the journal"


@pytest.mark.parametrize("in_state", [None, 1, 3, len(STORY)])
def test_the_state_is_what_the_journal_says_however_far_behind_its_file_is(
    layout: ClusterLayout, in_state: int | None
) -> None:
    state = write(layout, STORY, in_state)
    records = mend_records(layout, "test")
    assert records.state == state
    assert (records.offset.events, records.imported) == (len(STORY), None)
    assert records.notices == ([] if in_state else [MADE_ANEW])


def test_a_record_torn_by_a_crash_is_cut_off_and_the_rest_stands(layout: ClusterLayout) -> None:
    state = write(layout, STORY)
    whole = layout.journal.read_bytes()
    layout.journal.write_bytes(whole + b'{"number":6,"at":"2023-')
    records = mend_records(layout, "test")
    assert records.state == state
    assert layout.journal.read_bytes() == whole


@given(st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_journal_cut_anywhere_gives_the_whole_events_before_the_cut(layout: ClusterLayout, cut: int) -> None:
    layout.journal.unlink(missing_ok=True)
    write(layout, STORY)
    content = layout.journal.read_bytes()
    cut %= len(content) + 1
    layout.journal.write_bytes(content[:cut])
    records = mend_records(layout, "test")
    assert records.offset.events == content[:cut].count(b"\n")
    assert layout.journal.stat().st_size == records.offset.bytes


def test_blocks_that_were_never_written_are_cut_off_too(layout: ClusterLayout) -> None:
    write(layout, STORY)
    whole = layout.journal.read_bytes()
    layout.journal.write_bytes(whole + b"\0" * 4096)
    mend_records(layout, "test")
    assert layout.journal.read_bytes() == whole


def test_damage_in_the_middle_is_set_aside_whole_and_the_events_saved(layout: ClusterLayout) -> None:
    write(layout, STORY)
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join([*lines[:2], b"garbage \xff\n", *lines[2:]]))
    damaged = layout.journal.read_bytes()
    records = mend_records(layout, "test")
    assert records.offset.events == len(STORY)
    assert "was damaged (1 line)" in records.notices[0]
    assert _aside(layout).read_bytes() == damaged
    assert not any("damaged" in notice for notice in mend_records(layout, "test").notices)


def test_a_line_longer_than_is_read_at_once_is_damage_and_not_a_torn_tail(layout: ClusterLayout) -> None:
    write(layout, STORY)
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join([lines[0], b"x" * (5 * 1024 * 1024) + b"\n", *lines[1:]]))
    records = mend_records(layout, "test")
    assert records.offset.events == len(STORY)
    assert _aside(layout).stat().st_size > 5 * 1024 * 1024


def damaged_journal(layout: ClusterLayout) -> bytes:
    """Write a journal with a line that is no event, and return its bytes."""
    write(layout, STORY)
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[2:]]))
    return layout.journal.read_bytes()


@pytest.mark.parametrize("written", range(len(STORY)))
def test_a_repair_of_the_journal_that_the_disk_cuts_off_loses_no_event(
    layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    damaged = damaged_journal(layout)
    room, real_write = [written], os.write

    def write_until_full(descriptor: int, content: bytes) -> int:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, content)

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_until_full)
        with pytest.raises(InstallError, match="no space left"):
            mend_records(layout, "test")
    assert [path.name for path in layout.folder.iterdir()] == [layout.journal.name]
    assert layout.journal.read_bytes() == damaged
    assert mend_records(layout, "test").offset.events == len(STORY)
    assert _aside(layout).read_bytes() == damaged


@pytest.mark.parametrize("ended_at", ["link", "replace"])
def test_a_repair_of_the_journal_that_is_killed_is_made_again(
    layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch, ended_at: str
) -> None:
    damaged = damaged_journal(layout)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as ending:
        ending.setattr(os, ended_at, killed)
        with pytest.raises(KeyboardInterrupt):
            mend_records(layout, "test")
    assert layout.journal.read_bytes() == damaged
    assert mend_records(layout, "test").offset.events == len(STORY)


def test_a_damaged_journal_is_kept_where_the_file_system_has_no_links(
    layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = damaged_journal(layout)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert mend_records(layout, "test").offset.events == len(STORY)
    assert _aside(layout).read_bytes() == damaged


def _aside(layout: ClusterLayout) -> Path:
    (aside,) = layout.folder.glob("*.unreadable-*")
    return aside


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b"  \n"),
    "torn": lambda path: path.write_bytes(b'{"version": "1.0", "steps": {"pre'),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "not ours": lambda path: path.write_bytes(b'{"hello": "world"}'),
    "a list": lambda path: path.write_bytes(b"[]"),
    "nested": lambda path: path.write_bytes(b"[" * 200_000),
    "a lone surrogate": lambda path: path.write_bytes(b'{"version": "\xed\xa0\x80"}'),
    "not a number": lambda path: path.write_bytes(b'{"version": NaN}'),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 10**12),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_state_file_that_holds_no_state_is_set_aside_and_made_from_the_journal(
    layout: ClusterLayout, what: str
) -> None:
    state = write(layout, STORY)
    BROKEN[what](layout.state)
    before = layout.state.lstat()
    assert read_records(layout, "test").state == state
    assert layout.state.lstat().st_ino == before.st_ino
    records = mend_records(layout, "test")
    assert records.state == state
    assert "holds no state" in records.notices[0]
    assert _aside(layout).lstat().st_ino == before.st_ino


@pytest.mark.parametrize("what", [what for what in BROKEN if what not in {"empty", "blank"}])
def test_a_journal_that_is_none_is_set_aside_and_the_state_file_counts(layout: ClusterLayout, what: str) -> None:
    state = write(layout, STORY, len(STORY))
    layout.journal.unlink()
    BROKEN[what](layout.journal)
    records = mend_records(layout, "test")
    assert records.state.steps == state.steps
    assert records.offset.events == 0
    assert not layout.journal.exists() or layout.journal.stat().st_size == records.offset.bytes


def test_with_the_journal_gone_the_state_file_is_taken_over(layout: ClusterLayout) -> None:
    state = write(layout, STORY, len(STORY))
    layout.journal.unlink()
    records = mend_records(layout, "test")
    assert records.state.steps == state.steps
    assert records.imported
    assert records.imported["source"] == "state file, the journal being gone"


def test_a_journal_that_others_cut_short_is_said_with_how_much_is_lost(layout: ClusterLayout) -> None:
    write(layout, STORY, len(STORY))
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join(lines[:-2]))
    for notices in (read_records(layout, "test").notices, mend_records(layout, "test").notices):
        assert len(notices) == 1
        assert "cut short: the state file knew of 2 more events" in notices[0]


@pytest.mark.parametrize("content", [b"", b"garbage\n", None])
def test_who_only_reads_is_told_that_the_journal_is_of_no_use(layout: ClusterLayout, content: bytes | None) -> None:
    state = write(layout, STORY, len(STORY))
    layout.journal.unlink()
    if content is not None:
        layout.journal.write_bytes(content)
    records = read_records(layout, "test")
    assert records.state.steps == state.steps
    assert records.notices[-1] == "journal.jsonl is gone or holds no event: the state is the state file's"


def test_an_edit_from_outside_is_taken_over_and_said(layout: ClusterLayout) -> None:
    write(layout, STORY, len(STORY))
    document = json.loads(layout.state.read_text())
    document["steps"]["cluster_create"]["status"] = "completed"
    layout.state.write_text(json.dumps(document))
    records = mend_records(layout, "test")
    assert records.state.steps["cluster_create"].status == "completed"
    assert records.imported
    assert records.imported["changes"] == ["cluster_create: in_progress -> completed"]


def test_an_edit_that_changes_nothing_is_no_change(layout: ClusterLayout) -> None:
    write(layout, STORY, len(STORY))
    layout.state.write_text(json.dumps(json.loads(layout.state.read_text()), indent=8))
    assert mend_records(layout, "test").imported is None


def test_a_newer_schema_is_refused_and_left_alone(layout: ClusterLayout) -> None:
    layout.state.write_text('{"version": "7.1", "steps": {}}')
    with pytest.raises(InstallError, match="newer version") as refused:
        mend_records(layout, "test")
    assert refused.value.exit_code is ExitCode.STATE_UNUSABLE
    assert layout.state.read_text() == '{"version": "7.1", "steps": {}}'


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    path.chmod(0o600)
    (tmp_path / f".file.{os.getpid()}.new").mkdir()
    with pytest.raises(InstallError):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_what_is_refused_to_its_owner_is_told_with_what_undoes_it(tmp_path: Path) -> None:
    def hint(path: Path, number: int) -> str:
        return unusable(path, OSError(number, "refused")).hint

    assert f"ch{'flags' if sys.platform == 'darwin' else 'attr'}" in hint(tmp_path, errno.EPERM)
    assert str(tmp_path) in hint(tmp_path / "missing", errno.EPERM)
    assert "missing" not in hint(tmp_path / "missing", errno.EPERM)
    tmp_path.chmod(0o500)
    assert hint(tmp_path, errno.EACCES) == f"chmod -R u+rwX {tmp_path}"
    tmp_path.chmod(0o700)
    assert "chown" in hint(tmp_path, errno.EACCES)


def test_reading_never_waits_for_a_pipe_nor_follows_a_link(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    for name in ("pipe", "link"):
        with pytest.raises(UnreadableFileError, match="not a regular file"):
            read_regular(tmp_path / name)
    assert read_regular(tmp_path / "nothing") is None


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(content: bytes) -> None:
    try:
        parse_json(content)
    except UnreadableFileError as error:
        assert str(error)  # noqa: PT017 - both ways are right


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_journal_are_read_to_their_end(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    reader = JournalReader(path)
    assert list(reader.read()) == []
    assert reader.damage.good_bytes <= len(content)


def test_what_was_saved_is_known_as_ours_and_what_was_changed_is_not(layout: ClusterLayout) -> None:
    write(layout, STORY, len(STORY))
    stored = load_state(layout.state)
    assert stored
    assert stored.ours
    layout.state.write_text(layout.state.read_text().replace('"attempts": 1', '"attempts": 2', 1))
    changed = load_state(layout.state)
    assert changed
    assert not changed.ours
