"""Records know whose they are: another installation's are set aside and said, never gone by, and nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.state import State
from contextcore_install.storage.archived import archive_records
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.storage.journal.compaction import compact
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.state_file import StateWriter, load_state
from contextcore_install.storage.store import adopt, mend_records, read_records

START_US = 1_700_000_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.clusters.mkdir()
    return home


def installed(home: Home, name: str, identity: str = "", began_us: int = START_US) -> ClusterLayout:
    """Record an installation, and return where."""
    layout = home.cluster(name)
    layout.folder.mkdir()
    facts: dict[str, Any] = {
        "installation_id": identity or f"id of {name}",
        "provider": "host",
        "settings": {"ports": {}},
    }
    kinds: list[tuple[Kind, str, dict[str, Any]]] = [
        (Kind.INSTALLATION_STARTED, "", facts),
        (Kind.RUN_STARTED, "", {"mode": "install", "cluster": name}),
        (Kind.STEP_STARTED, "preflight", {"attempt": 1}),
        (Kind.STEP_COMPLETED, "preflight", {"duration_seconds": 1.0}),
    ]
    state, writer = State(name), JournalWriter(layout.journal)
    for number, (kind, step, data) in enumerate(kinds, 1):
        event = Event(number, began_us + number * 1_000_000, "run", kind, step, data)
        writer.append(event)
        state.apply(event)
    StateWriter(layout.state, state, lambda: writer.offset).write()
    writer.close()
    return layout


def test_another_installations_journal_is_set_aside_and_said(home: Home) -> None:
    ours, theirs = installed(home, "ours"), installed(home, "theirs", began_us=START_US + 7)
    shutil.copy(theirs.journal, ours.journal)
    for records in (read_records(ours, "ours"), mend_records(ours, "ours")):
        assert (records.state.cluster_name, records.state.installation_id) == ("ours", "id of ours")
        assert records.state.step("preflight").status == "completed"
        assert any("another installation, 'theirs'" in notice for notice in records.notices)
    aside = list(ours.folder.glob("journal.jsonl.unreadable-*"))
    assert [path.read_bytes() for path in aside] == [theirs.journal.read_bytes()]


def test_a_journal_that_happens_to_be_as_long_is_told_apart_all_the_same(home: Home) -> None:
    ours, others = installed(home, "aaaa"), installed(home, "bbbb", began_us=START_US + 1)
    assert ours.journal.stat().st_size == others.journal.stat().st_size
    shutil.copy(others.journal, ours.journal)
    assert read_records(ours, "aaaa").state.installation_id == "id of aaaa"


def test_another_installations_compressed_journal_is_set_aside_too(home: Home) -> None:
    ours, theirs = installed(home, "ours"), installed(home, "theirs")
    compact(theirs.journal, "theirs", 1)
    ours.journal.unlink()
    shutil.copytree(theirs.past, ours.past)
    records = mend_records(ours, "ours")
    assert records.state.installation_id == "id of ours"
    assert list(ours.folder.glob("journal.unreadable-*/*.jsonl.gz"))
    assert not ours.past.exists()


def test_another_installations_state_is_set_aside_and_the_journal_counts(home: Home) -> None:
    ours, theirs = installed(home, "ours"), installed(home, "theirs")
    shutil.copy(theirs.state, ours.state)
    records = mend_records(ours, "ours")
    assert (records.state.cluster_name, records.state.installation_id) == ("ours", "id of ours")
    assert any("another installation, 'theirs'" in notice for notice in records.notices)
    assert len(list(ours.folder.glob("install-state.json.unreadable-*"))) == 1


def test_of_another_installations_journal_and_state_nothing_is_taken(home: Home) -> None:
    ours, theirs = installed(home, "ours"), installed(home, "theirs")
    for name in ("journal.jsonl", "install-state.json"):
        shutil.copy(theirs.folder / name, ours.folder / name)
    records = mend_records(ours, "ours")
    assert not records.state.exists
    assert len(records.notices) == 2


@pytest.mark.parametrize("later", ["journal", "state"])
def test_of_two_installations_of_one_name_the_later_ones_records_count(home: Home, later: str) -> None:
    day_us = 86_400_000_000
    ours = installed(home, "ours", "state's", START_US + (day_us if later == "state" else 0))
    kept = ours.state.read_bytes()
    shutil.rmtree(ours.folder)
    installed(home, "ours", "journal's", START_US + (day_us if later == "journal" else 0))
    ours.state.write_bytes(kept)
    records = mend_records(ours, "ours")
    assert records.state.installation_id == f"{later}'s"
    assert any("earlier installation" in notice for notice in records.notices)
    assert len(list(ours.folder.glob("*.unreadable-*"))) == 1


def test_a_state_that_names_no_cluster_is_taken_over(home: Home) -> None:
    home.latest_link.write_text('{"version": "1.0", "steps": {"preflight": {"status": "completed"}}}')
    notices = adopt(home, "ours")
    assert notices == [f"took over the state at {home.latest_link}"]
    records = mend_records(home.cluster("ours"), "ours")
    assert records.state.cluster_name == "ours"
    assert records.state.step("preflight").status == "completed"


def test_a_state_that_is_taken_over_leaves_the_one_that_was_there(home: Home) -> None:
    ours = installed(home, "ours")
    before = ours.state.read_bytes()
    home.latest_link.write_text('{"version": "1.0", "cluster_name": "ours", "steps": {}}')
    assert any("is kept as" in notice for notice in adopt(home, "ours"))
    assert [path.read_bytes() for path in ours.folder.glob("*.unreadable-*")] == [before]


def test_what_was_set_aside_goes_to_the_archive_with_the_records(home: Home) -> None:
    ours = installed(home, "ours")
    ours.state.unlink()
    with ours.journal.open("r+b") as journal:
        journal.seek(150)
        journal.write(b"\0" * 64)
    damaged = ours.journal.read_bytes()
    records = mend_records(ours, "ours")
    assert any("it is kept as" in notice for notice in records.notices), records.notices
    archive = Path(archive_records(home, "ours"))
    assert [path.read_bytes() for path in archive.glob("journal.jsonl.unreadable-*")] == [damaged]
    assert list(ours.folder.iterdir()) == []


def test_unknown_steps_are_kept_and_decide_nothing(home: Home) -> None:
    ours = installed(home, "ours")
    stored = load_state(ours.state)
    assert stored
    state = stored.state
    for step in state.steps.values():
        step.status = "completed"
    state.step("of_a_newer_version").status = "failed"
    assert (state.progress, state.failed) == (1.0, [])
    assert state.as_document()["steps"]["of_a_newer_version"] == {"status": "failed"}
