"""A long journal is compressed part by part: nothing is lost, and every position stays what it was."""

from __future__ import annotations

import gzip
import io
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, JournalOffset, Kind
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal import compaction
from contextcore_install.storage.journal.compaction import compact, past_summary, read_journal_summary
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter, copy_lines
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.storage.store import SEGMENT_MISSING, mend_records, read_records
from contextcore_install.telemetry.cursors import Offset, events_behind

CLUSTER = "test"
START_US = 1_700_000_000_000_000
MOST = 3_000
"""Bytes of a part: some three of the runs here."""


@pytest.fixture
def layout(tmp_path: Path) -> ClusterLayout:
    return ClusterLayout(tmp_path)


def a_run(layout: ClusterLayout, name: str, *, applied: bool = False) -> JournalOffset:
    """Have a run recorded as one is: under a mended journal, compressed where it is long, the state file behind it."""
    records = mend_records(layout, CLUSTER)
    compact(layout.journal, CLUSTER, MOST)
    writer = JournalWriter(layout.journal, records.offset)
    number, at_us = records.offset.events, max(START_US, records.offset.at_us)
    for kind, step, data in _story(name, applied=applied):
        number, at_us = number + 1, at_us + 1_000_000
        event = Event(number, at_us, name, kind, step, data)
        writer.append(event)
        records.state.apply(event)
    writer.close()
    StateWriter(layout.state, records.state, lambda: writer.offset).write()
    return writer.offset


def _story(name: str, *, applied: bool) -> Iterable[tuple[Kind, str, dict[str, object]]]:
    if name == "run-0":
        settings: dict[str, object] = {"installation_id": "abc", "provider": "host", "settings": {}}
        yield Kind.INSTALLATION_STARTED, "", settings
    yield Kind.RUN_STARTED, "", {"mode": "install"}
    for step in STEP_IDS:
        if applied:
            yield Kind.STEP_STARTED, step, {"attempt": 1}
        yield Kind.STEP_COMPLETED, step, {"duration_seconds": 1.5, "summary": "ü", "already": not applied}
    if applied:
        yield Kind.VERIFIED, STEP_IDS[-1], {"requirements": [{"requirement": "platform", "ratio": 1.0}]}
    yield Kind.RUN_FINISHED, "", {"outcome": "succeeded", "exit_code": 0, "duration_seconds": 9.0}


def some_runs(layout: ClusterLayout, count: int = 12) -> JournalOffset:
    """Have so many runs recorded, of which the first has done something, and one was killed."""
    offset = JournalOffset()
    for number in range(count):
        offset = a_run(layout, f"run-{number}", applied=number == 0)
    return offset


def one_long_file(layout: ClusterLayout, runs: int = 40) -> None:
    """Write so many runs into a journal that is not compressed, as before there were parts."""
    writer = JournalWriter(layout.journal)
    for number in range(1, runs + 1):
        for kind, step, data in _story(f"run-{number}", applied=False):
            at = writer.offset.events
            writer.append(Event(at + 1, START_US + at, f"run-{number}", kind, step, data))
    writer.close()


def everything(layout: ClusterLayout) -> list[tuple[int, Event]]:
    return list(JournalReader(layout.journal).read())


def folded(events: Iterable[tuple[int, Event]]) -> JournalSummary:
    summary = JournalSummary(CLUSTER)
    for position, event in events:
        summary.take(position, event)
    return summary


def packed(layout: ClusterLayout) -> list[Path]:
    return sorted(layout.past.glob("*.jsonl.gz"))


def one_file(layout: ClusterLayout) -> bytes:
    content = io.BytesIO()
    copy_lines(layout.journal, content)
    return content.getvalue()


def test_a_compressed_journal_reads_as_one_file_in_every_place(tmp_path: Path) -> None:
    layout, plain = ClusterLayout(tmp_path / "a"), ClusterLayout(tmp_path / "b")
    for place in (layout, plain):
        place.folder.mkdir()
    some_runs(layout)
    plain.journal.write_bytes(one_file(layout))
    assert len(packed(layout)) > 1
    events = everything(plain)
    assert everything(layout) == events
    for at, (position, _) in enumerate(events):
        assert list(JournalReader(layout.journal).read(position)) == events[at:]
    for most in (1, 500, MOST, 10**6):
        reader, beside = JournalReader(layout.journal), JournalReader(plain.journal)
        assert reader.near_end(most) == beside.near_end(most)


def test_numbers_and_times_go_on_over_the_parts(layout: ClusterLayout) -> None:
    offset = some_runs(layout)
    events = [event for _, event in everything(layout)]
    assert [event.number for event in events] == list(range(1, offset.events + 1))
    assert offset.bytes == JournalReader(layout.journal).size() == len(one_file(layout))


def test_what_the_history_shows_is_what_it_showed_before(layout: ClusterLayout) -> None:
    some_runs(layout)
    told, once_more = read_journal_summary(layout.journal, CLUSTER), folded(everything(layout))
    assert told.as_document() == once_more.as_document()
    assert len(told.runs) == 12
    assert told.took == {step: [1.5] for step in STEP_IDS}
    assert told.requirements


SPOILT: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "torn": lambda path: os.truncate(path, 20),
    "empty": lambda path: path.write_bytes(b""),
    "of another version": lambda path: path.write_bytes(gzip.compress(b'{"version": 99}')),
    "not an object": lambda path: path.write_bytes(gzip.compress(b"[1]")),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_summary_that_is_of_no_use_is_made_from_its_part(layout: ClusterLayout, what: str) -> None:
    some_runs(layout)
    for path in sorted(layout.past.glob("*.json.gz"))[1:]:
        SPOILT[what](path)
    assert read_journal_summary(layout.journal, CLUSTER).as_document() == folded(everything(layout)).as_document()


def test_without_the_state_file_the_parts_come_to_the_same_state(layout: ClusterLayout) -> None:
    some_runs(layout)
    before = read_records(layout, CLUSTER)
    layout.state.unlink()
    after = mend_records(layout, CLUSTER)
    assert (after.state, after.offset, after.imported) == (before.state, before.offset, None)


def test_the_state_file_is_carried_on_from_and_not_made_anew(layout: ClusterLayout) -> None:
    offset = some_runs(layout)
    for path in packed(layout):
        path.write_bytes(b"nothing that could be read")
    records = read_records(layout, CLUSTER)
    assert (records.offset, records.notices) == (offset, [])


def test_a_place_that_a_store_has_taken_up_to_stays_that_place(layout: ClusterLayout) -> None:
    a_run(layout, "run-0", applied=True)
    points = [Offset(event.number, event.at_us, position) for position, event in everything(layout)]
    some = [event.number for _, event in everything(layout)]
    for number in range(1, 12):
        a_run(layout, f"run-{number}")
    assert len(packed(layout)) > 1
    for point, number in zip(points, some, strict=True):
        following = next(iter(events_behind(JournalReader(layout.journal), point)))
        assert following[1].number == number + 1


def test_who_was_reading_before_reads_on(layout: ClusterLayout) -> None:
    some_runs(layout, 3)
    reading = JournalReader(layout.journal).read()
    read = [next(reading)]
    for number in range(3, 12):
        a_run(layout, f"run-{number}")
    read += reading
    assert read == everything(layout)[: len(read)]
    assert len({event.run_id for _, event in read}) >= 3


def test_who_reads_while_parts_are_moved_misses_nothing_and_reads_nothing_twice(layout: ClusterLayout) -> None:
    ended = threading.Event()
    seen: list[list[int]] = []

    def follow() -> None:
        reader, numbers = JournalReader(layout.journal), []
        while True:
            last = ended.is_set()
            numbers += [event.number for _, event in reader.read(reader.damage.good_bytes)]
            if last:
                seen.append(numbers)
                return

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for thread in readers:
        thread.start()
    offset = some_runs(layout, 40)
    ended.set()
    for thread in readers:
        thread.join(60)
    assert seen == [list(range(1, offset.events + 1))] * 3
    assert len(packed(layout)) > 5


def test_a_torn_record_behind_compressed_parts_is_cut_off(layout: ClusterLayout) -> None:
    some_runs(layout)
    state, whole = read_records(layout, CLUSTER).state, layout.journal.read_bytes()
    layout.journal.write_bytes(whole + b'{"number":99,"at":"2023-')
    assert mend_records(layout, CLUSTER).state == state
    assert layout.journal.read_bytes() == whole


def test_damage_behind_compressed_parts_is_set_aside_and_the_parts_stay(layout: ClusterLayout) -> None:
    some_runs(layout)
    before, parts = everything(layout), packed(layout)
    layout.journal.write_bytes(b"garbage\n" + layout.journal.read_bytes())
    layout.state.unlink()
    records = mend_records(layout, CLUSTER)
    assert [event for _, event in everything(layout)] == [event for _, event in before]
    assert packed(layout) == parts
    assert records.offset.bytes == JournalReader(layout.journal).size()


def _link_for(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


LOST: dict[str, Callable[[ClusterLayout], Iterable[Path]]] = {
    "all compressed parts": packed,
    "the first part": lambda layout: packed(layout)[:1],
    "the last compressed part": lambda layout: packed(layout)[-1:],
    "the file that grows": lambda layout: [layout.journal],
}
SPOIL: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "a link": _link_for,
    "torn": lambda path: os.truncate(path, 100),
    "altered": lambda path: path.write_bytes(path.read_bytes()[:30] + b"?" * 50 + path.read_bytes()[80:]),
    "not compressed": lambda path: path.write_bytes(b"what holds no event\n" * 20),
}


WAYS = [(what, how) for what in LOST for how in SPOIL if what != "the file that grows" or how in ("gone", "a link")]
"""But for what a crash does, or is mended line by line: then the journal counts."""


@pytest.mark.parametrize(("what", "how"), WAYS)
def test_where_a_part_is_lost_the_state_file_counts(layout: ClusterLayout, what: str, how: str) -> None:
    some_runs(layout)
    known = read_records(layout, CLUSTER).state
    for path in LOST[what](layout):
        SPOIL[how](path)
    records = mend_records(layout, CLUSTER)
    assert records.state.steps == known.steps
    assert records.state.installation_id == known.installation_id
    later = a_run(layout, "run-later")
    assert later.events > records.offset.events
    assert read_records(layout, CLUSTER).state.steps.keys() == known.steps.keys()


def test_where_state_file_and_a_part_are_lost_it_is_said(layout: ClusterLayout) -> None:
    some_runs(layout)
    packed(layout)[0].unlink()
    layout.state.unlink()
    assert mend_records(layout, CLUSTER).notices == [SEGMENT_MISSING]


def test_a_state_made_from_the_state_file_stands_in_what_is_left_of_the_journal(layout: ClusterLayout) -> None:
    some_runs(layout)
    known = read_records(layout, CLUSTER).state
    for path in packed(layout):
        path.unlink()
    records = mend_records(layout, CLUSTER)
    assert records.imported
    assert records.imported["source"] == "state file, a part of the journal being gone"
    assert SEGMENT_MISSING in records.notices
    writer = JournalWriter(layout.journal, records.offset)
    number, at_us = records.offset.events + 1, records.offset.at_us + 1
    writer.append(Event(number, at_us, "run-after", Kind.STATE_IMPORTED, "", records.imported))
    writer.close()
    layout.state.unlink()
    assert mend_records(layout, CLUSTER).state.steps == known.steps


def test_a_disk_that_refuses_leaves_the_journal_as_it_is(
    layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_runs(layout, 3)
    layout.past.mkdir(mode=0o700, exist_ok=True)
    before = everything(layout)
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_atomically", _full_disk)
        compact(layout.journal, CLUSTER, 1)
    assert everything(layout) == before
    assert read_journal_summary(layout.journal, CLUSTER).as_document() == folded(before).as_document()
    compact(layout.journal, CLUSTER, 1)
    assert everything(layout) == before
    assert [path.name for path in layout.folder.glob("journal-*")] == []


def _full_disk(path: Path, content: bytes) -> None:
    raise OSError(28, "No space left on device", str(path))


def test_parts_of_a_compaction_that_was_cut_off_give_way_to_those_of_the_next(
    layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_long_file(layout)
    before = everything(layout)
    written: list[Path] = []

    def fails_in_the_end(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 4:
            _full_disk(path, content)
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_atomically", fails_in_the_end)
        compact(layout.journal, CLUSTER, 700)
    assert written[1].exists()
    assert everything(layout) == before
    compact(layout.journal, CLUSTER, 10**6)
    assert not written[1].exists()
    assert everything(layout) == before
    assert read_journal_summary(layout.journal, CLUSTER).as_document() == folded(before).as_document()


def test_a_folder_of_parts_that_others_can_write_to_is_refused(layout: ClusterLayout) -> None:
    some_runs(layout, 3)
    layout.past.mkdir(mode=0o700, exist_ok=True)
    layout.past.chmod(0o777)
    with pytest.raises(InstallError, match="others can write to it"):
        compact(layout.journal, CLUSTER, 1)


def test_a_journal_that_has_grown_for_long_becomes_parts_that_begin_with_a_run(layout: ClusterLayout) -> None:
    one_long_file(layout)
    before = everything(layout)
    compact(layout.journal, CLUSTER, MOST)
    assert everything(layout) == before
    assert len(packed(layout)) > 5
    starts = {int(path.name.partition("-")[0]) for path in packed(layout)}
    assert {event.kind for position, event in before if position in starts} == {Kind.RUN_STARTED}
    summary, end = past_summary(layout.journal, CLUSTER)
    assert end == JournalReader(layout.journal).size()
    assert summary.as_document() == folded(before).as_document()
    assert not layout.journal.exists()
