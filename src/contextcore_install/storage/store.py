"""Opening an installation's records: whatever state they are in, what can be known is known after it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import START, JournalOffset, Kind, second
from contextcore_install.core.text import count
from contextcore_install.engine.state import NewerSchemaError, State, StateFormatError, state_from_document
from contextcore_install.storage.files import UnreadableFileError, quarantine
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader, repair
from contextcore_install.storage.journal.segments import past_segments, segments_folder
from contextcore_install.storage.state_file import StoredState, load_state

CLOCK_TOLERANCE_US = 5_000_000
"""How far the records may be ahead of the clock, in microseconds, before it is worth a word."""


WITHOUT_JOURNAL = "state file, the journal being gone"
"""The source of a state that no journal tells."""

SEGMENT_MISSING = (
    "a part of the journal is gone: the state is made from what is left of it, and from the state file, if any"
)


@dataclass(slots=True)
class Records:
    """What an installation's files say.

    `notices` are sentences for the user on what was wrong with them. `imported` is set where the state
    file holds what the journal does not know: its source, and what it changes.
    """

    state: State
    offset: JournalOffset = START
    notices: list[str] = field(default_factory=list)
    imported: dict[str, Any] | None = None


def read_records(layout: ClusterLayout, cluster: str) -> Records:
    """Return what the files say, and change nothing."""
    return _open(layout, cluster, mend=False)


def mend_records(layout: ClusterLayout, cluster: str) -> Records:
    """Return what the files say, with what is unusable set aside. The caller holds the lock."""
    return _open(layout, cluster, mend=True)


def _open(layout: ClusterLayout, cluster: str, *, mend: bool) -> Records:
    records = Records(State(cluster))
    stored = _stored_state(layout.state, records, mend=mend)
    journal = layout.journal
    reader = JournalReader(journal)
    try:
        if stored and stored.ours and reader.reaches(stored.offset):
            records.state = stored.state
            records.offset, _ = _fold(reader, records.state, stored.offset)
        else:
            records.offset, whole = _fold(reader, records.state, START)
            stored = _of_one_installation(layout.state, stored, records, cluster, mend=mend)
            if not whole:
                records.notices.append(SEGMENT_MISSING)
            if stored and _bridges(stored, journal, records, whole=whole):
                _bridge(stored, reader, records)
            elif stored:
                _import(stored, records)
    except UnreadableFileError as error:
        records.state = State(cluster)
        _journal_unreadable(journal, error, stored, records, mend=mend)
        if mend and past_segments(journal):
            rest = _open(layout, cluster, mend=True)
            rest.notices = [*records.notices, *rest.notices]
            return rest
        return records
    if mend:
        _mend_journal(journal, reader, records)
    else:
        _tell_of_journal(journal, reader, records)
    if stored is None and records.offset.events and not records.notices:
        records.notices.append(f"{layout.state.name} was gone: the state is made from the journal")
    return records


def clock_notices(offset: JournalOffset, now_us: int) -> list[str]:
    """Return in words that the records end in the future: the clock was set back, or was wrong when they were made."""
    if offset.at_us <= now_us + CLOCK_TOLERANCE_US:
        return []
    text = f"the records reach to {second(offset.at_us)}, and this machine's clock says {second(now_us)}"
    return [f"{text}: what follows is dated behind them, and sent to no store before its time has come"]


def _stored_state(path: Path, records: Records, *, mend: bool) -> StoredState | None:
    cluster = records.state.cluster_name
    try:
        stored = load_state(path)
    except NewerSchemaError as error:
        raise newer_state(path, error) from None
    except (StateFormatError, UnreadableFileError) as error:
        _refuse_state(path, str(error), records, mend=mend)
        return None
    if stored and stored.state.cluster_name not in ("", cluster):
        _refuse_state(path, _of_another(stored.state.cluster_name), records, mend=mend)
        return None
    if stored:
        stored.state.cluster_name = cluster  # scripts may leave it out
    return stored


def _refuse_state(path: Path, reason: str, records: Records, *, mend: bool) -> None:
    where = f"kept as {quarantine(path).name}" if mend else "left as it is"
    records.notices.append(
        f"{path} holds no state of {records.state.cluster_name} ({reason}); it is {where}, and the state is made "
        "from what else there is"
    )


def _of_another(cluster: str) -> str:
    return f"it is of another installation, {cluster[:63]!r}"


def _of_one_installation(
    path: Path, stored: StoredState | None, records: Records, cluster: str, *, mend: bool
) -> StoredState | None:
    """See that journal and state file are this installation's, and return the state file where it counts.

    Of two installations of this name, one after the other, the later one's records count. Raises UnreadableFileError
    for a journal of another.
    """
    state = records.state
    if state.cluster_name != cluster:
        raise UnreadableFileError(_of_another(state.cluster_name))
    ids = (state.installation_id, stored.state.installation_id if stored and stored.ours else "")
    if stored is None or not all(ids) or ids[0] == ids[1]:
        return stored
    if stored.offset.at_us > records.offset.at_us:
        raise UnreadableFileError(f"it is of an earlier installation, {ids[0][:8]!r}")
    _refuse_state(path, f"it is of an earlier installation, {ids[1][:8]!r}", records, mend=mend)
    return None


def newer_state(path: Path, error: NewerSchemaError) -> InstallError:
    """Return the error for a state that this program is too old to read; it is left alone."""
    return InstallError(
        "state-newer",
        f"{path} was written by a newer version of this program: {error}",
        hint="use that version, or begin anew with --reset (which keeps a copy)",
        exit_code=ExitCode.STATE_UNUSABLE,
    )


def _fold(reader: JournalReader, state: State, offset: JournalOffset) -> tuple[JournalOffset, bool]:
    """Fold what is behind a mark; return the end, and whether nothing is missing that the state is made from."""
    number, at_us, whole = offset.events, offset.at_us, True
    for _, event in reader.read(offset.bytes):
        whole = event.follows(number) and (whole or event.kind is Kind.STATE_IMPORTED)
        state.apply(event)
        number, at_us = event.number, event.at_us
    return JournalOffset(number, reader.damage.good_bytes, at_us), whole


def _import(stored: StoredState, records: Records) -> None:
    """Take over what a state file says that the journal does not, as a change to be recorded."""
    if stored.ours and records.offset.events:
        # After a crash nothing had acted on what is lost; somebody else may have cut off more.
        _tell_of_lost_end(stored.offset.events - records.offset.events, records)
        return
    source = "state file" if records.offset.events or not stored.ours else WITHOUT_JOURNAL
    _take_in(stored.state, source, records)


def _tell_of_lost_end(events: int, records: Records) -> None:
    if events > 0:
        records.notices.append(
            f"the journal was cut short: the state file knew of {count(events, 'more event')}; the state is "
            "made from what is left, and each step's check says whether it still holds"
        )


def _bridges(stored: StoredState, journal: Path, records: Records, *, whole: bool) -> bool:
    """Whether the state file knows of events that are lost with a part of the journal."""
    if not (stored.ours and records.offset.events):
        return False
    if stored.offset.events <= records.offset.events:
        return not whole
    return not journal.exists()  # a crash cuts that file short, but does not remove it


def _bridge(stored: StoredState, reader: JournalReader, records: Records) -> None:
    """Go by the state file, and by what of the journal is behind it."""
    for _, event in reader.read():
        if event.number > stored.offset.events:
            stored.state.apply(event)
    _take_in(stored.state, "state file, a part of the journal being gone", records)


def _take_in(state: State, source: str, records: Records) -> None:
    changes = differences(records.state, state)
    if not changes:
        return
    imported = state_from_document(state.as_document())
    imported.cluster_name = records.state.cluster_name
    imported.installation_id = imported.installation_id or records.state.installation_id
    records.imported = {"source": source, "changes": changes, "document": imported.as_document()}
    records.state = imported


def take_over(records: Records, state: State, source: str, at_us: int) -> Records:
    """Return the records begun anew with a state from elsewhere, as a change to be recorded; later events follow it."""
    imported = {"source": source, "changes": differences(records.state, state), "document": state.as_document()}
    return Records(state, JournalOffset(0, 0, at_us), records.notices, imported)


def differences(before: State, after: State) -> list[str]:
    """Return in words how one state differs from another, step by step, and in what others keep in it."""
    changes = []
    for step_id in dict.fromkeys([*before.steps, *after.steps]):
        old, new = before.step(step_id), after.step(step_id)
        if old.status != new.status:
            changes.append(f"{step_id}: {old.status} -> {new.status}")
        elif old.as_document() != new.as_document():
            changes.append(f"{step_id}: details")
    if before.extra != after.extra:
        changes.append("what others keep in it")
    if not before.exists and after.exists:
        changes.insert(0, f"an installation begun {after.started_at}")
    return changes


def _journal_unreadable(
    path: Path, error: UnreadableFileError, stored: StoredState | None, records: Records, *, mend: bool
) -> None:
    where = f"kept as {_journal_aside(path).name}" if mend else "left as it is"
    name = records.state.cluster_name
    records.notices.append(f"{path} is no journal of {name} ({error}); it is {where}, and a new one is begun")
    records.offset = START
    if stored:
        _import(stored, records)


def _journal_aside(path: Path) -> Path:
    """Set a journal aside that is of no use: the file that grows, and where that is gone, what was moved out of it."""
    if os.path.lexists(path):
        return quarantine(path)
    moved = next((part.path for part in past_segments(path) if not part.is_compressed), segments_folder(path))
    return quarantine(moved)


def _tell_of_journal(path: Path, reader: JournalReader, records: Records) -> None:
    """Say what the next run will mend, which says so itself."""
    if reader.damage.lines:
        records.notices.append(
            f"{path} is damaged ({count(reader.damage.lines, 'line')}); "
            "the next run sets it aside, and saves its events"
        )
    if records.imported and records.imported["source"] == WITHOUT_JOURNAL:
        records.notices.append(f"{path.name} is gone or holds no event: the state is the state file's")


def _mend_journal(path: Path, reader: JournalReader, records: Records) -> None:
    damaged = reader.damage.lines
    aside = repair(path, reader)
    if aside:
        records.notices.append(
            f"{path} was damaged ({count(damaged, 'line')}); it is kept as {aside.name}, its events were saved"
        )
        end = reader.base + path.stat().st_size
        records.offset = JournalOffset(records.offset.events, end, records.offset.at_us)
