"""Opens an installation's records: whatever state they are in, what can be known is known after it."""

from __future__ import annotations

import os
from pathlib import Path

from contextcore_install.core.dataclass import Any, dataclass, field
from contextcore_install.core.errors import InstallError, quoted, state_error
from contextcore_install.core.events import START, JournalOffset, Kind, second
from contextcore_install.core.text import count
from contextcore_install.engine.state import NewerSchemaError, State, StateFormatError, state_from_document
from contextcore_install.storage.files import UnreadableFileError, quarantine, quarantine_copy, using
from contextcore_install.storage.home import ClusterLayout, Home, make_private
from contextcore_install.storage.journal.journal import JournalReader, repair
from contextcore_install.storage.journal.segments import past_segments
from contextcore_install.storage.state_file import StoredState, load_state

CLOCK_TOLERANCE_US = 5_000_000  # by which the records may be ahead of the clock without a notice
WITHOUT_JOURNAL = "state file, the journal being gone"  # the source of a state that no journal confirms
SEGMENT_MISSING = (
    "a segment of the journal is missing: the state is made from what is left of it, and from the state file, if any"
)


@dataclass(slots=True)
class Records:
    """The content of an installation's files.

    `notices` are sentences for the user on what was wrong with them. `imported` is set if the state file holds what the
    journal does not know: its source, and what it changes.
    """

    state: State
    offset: JournalOffset = START
    notices: list[str] = field(default_factory=list)
    imported: dict[str, Any] | None = None


def read_records(layout: ClusterLayout, cluster: str) -> Records:
    """Return the content of the files, and change nothing."""
    return _Opening(layout, cluster, mend=False).open()


def mend_records(layout: ClusterLayout, cluster: str) -> Records:
    """Return the content of the files, with what is unusable quarantined. The caller holds the lock."""
    return _Opening(layout, cluster, mend=True).open()


def clock_notices(offset: JournalOffset, now_us: int) -> list[str]:
    """Return a notice if the records end in the future: the clock was set back, or was wrong when they were made."""
    if offset.at_us <= now_us + CLOCK_TOLERANCE_US:
        return []
    text = f"the records reach to {second(offset.at_us)}, and this machine's clock says {second(now_us)}"
    return [f"{text}: what follows is dated behind them, and sent to no store before its time has come"]


def newer_state(path: Path, error: NewerSchemaError) -> InstallError:
    """Return the error for a state that this program is too old to read; it is left alone."""
    message = f"{path} was written by a newer version of this program: {error}"
    return state_error("state-newer", message, "use that version, or begin anew with --reset (which keeps a copy)")


def take_over(records: Records, state: State, source: str, at_us: int) -> Records:
    """Return the records begun anew with a state from elsewhere, as a change to be recorded; later events follow it."""
    imported = {"source": source, "changes": differences(records.state, state), "document": state.as_document()}
    return Records(state, JournalOffset(0, 0, at_us), records.notices, imported)


def differences(before: State, after: State) -> list[str]:
    """Return in words how one state differs from another, step by step, and in the fields of others."""
    changes = []
    for step_id in dict.fromkeys([*before.steps, *after.steps]):
        old, new = before.step(step_id), after.step(step_id)
        if old.status != new.status:
            changes.append(f"{step_id}: {old.status} -> {new.status}")
        elif old.as_document() != new.as_document():
            changes.append(f"{step_id}: details")
    if before.extra != after.extra:
        changes.append("fields of other programs")
    if not before.exists and after.exists:
        changes.insert(0, f"an installation begun {after.started_at}")
    return changes


def foreign_link(home: Home) -> InstallError | None:
    """Return the error for a plan's path that is a link which this program did not make, if it is one."""
    path = home.latest_link
    if not path.is_symlink() or home.linked_cluster():
        return None
    message = f"{path} is a link to {str(path.readlink())!r}, which this program did not make"
    return state_error("unsafe-link", message, f"remove the link: rm {quoted(str(path))}")


def cluster_at(home: Home) -> str | None:
    """Return the cluster named in a file at the plan's path, empty if it names none; None if there is no such file.

    Raises ValueError for what holds no state, and InstallError.
    """
    if home.latest_link.is_symlink():
        return None
    stored = load_state(home.latest_link)
    return stored.state.cluster_name if stored else None


def adopt(home: Home, cluster: str) -> list[str]:
    """Move a file at the plan's path to the cluster it names, and return sentences on what was done.

    Opening that cluster's records then takes its content over as a recorded change.
    """
    if refused := foreign_link(home):
        raise refused
    try:
        named = cluster_at(home)
    except NewerSchemaError as error:
        raise newer_state(home.latest_link, error) from None
    except ValueError as error:
        return [f"{home.latest_link} holds no state ({error}); it is kept as {quarantine(home.latest_link).name}"]
    if named is None:
        return []
    if named not in ("", cluster):
        kept = quarantine(home.latest_link).name
        return [f"{home.latest_link} is of the cluster {named[:63]!r}; it is kept as {kept}"]
    layout = home.cluster(cluster)
    make_private(layout.folder)
    notices = [f"took over the state at {home.latest_link}"]
    if layout.state.exists():
        notices.append(f"{layout.state} is kept as {quarantine_copy(layout.state).name}")
    with using(layout.state):
        home.latest_link.replace(layout.state)
    return notices


class _Opening:
    """Opens the records of one cluster. With `mend`, what is unusable is quarantined, else it is left as it is."""

    def __init__(self, layout: ClusterLayout, cluster: str, *, mend: bool) -> None:
        self._layout = layout
        self._journal = layout.journal
        self._cluster = cluster
        self._mend = mend
        self._reader = JournalReader(layout.journal)
        self._records = Records(State(cluster))
        self._notices = self._records.notices

    def open(self) -> Records:
        records, stored = self._records, self._stored_state()
        try:
            if stored and stored.ours and self._reader.reaches(stored.offset):
                records.state = stored.state
                self._fold(stored.offset)
            else:
                whole = self._fold(START)
                stored = self._of_this_installation(stored)
                if not whole:
                    self._notices.append(SEGMENT_MISSING)
                if stored and self._knows_more(stored, whole=whole):
                    # The state file counts, with what of the journal is behind it.
                    later = (event for _, event in self._reader.read() if event.number > stored.offset.events)
                    self._take_in(stored.state.apply_all(later), "state file, a part of the journal being gone")
                elif stored:
                    self._import(stored)
        except UnreadableFileError as error:
            return self._without_journal(error, stored)
        self._treat_damage()
        if stored is None and records.offset.events and not self._notices:
            self._notices.append(f"{self._layout.state.name} was gone: the state is made from the journal")
        return records

    def _stored_state(self) -> StoredState | None:
        try:
            stored = load_state(self._layout.state)
        except NewerSchemaError as error:
            raise newer_state(self._layout.state, error) from None
        except (StateFormatError, UnreadableFileError) as error:
            self._refuse_state(str(error))
            return None
        if stored and stored.state.cluster_name not in ("", self._cluster):
            self._refuse_state(_of_another(stored.state.cluster_name))
            return None
        if stored:
            stored.state.cluster_name = self._cluster  # scripts may leave it out
        return stored

    def _refuse_state(self, reason: str) -> None:
        path = self._layout.state
        where = f"kept as {quarantine(path).name}" if self._mend else "left as it is"
        self._notices.append(
            f"{path} holds no state of {self._cluster} ({reason}); it is {where}, and the state is made from what "
            "else there is"
        )

    def _fold(self, offset: JournalOffset) -> bool:
        """Fold what is behind an offset; return whether nothing is missing that the state is made from."""
        number, at_us, whole = offset.events, offset.at_us, True
        for _, event in self._reader.read(offset.bytes):
            whole = event.follows(number) and (whole or event.kind is Kind.STATE_IMPORTED)
            self._records.state.apply(event)
            number, at_us = event.number, event.at_us
        self._records.offset = JournalOffset(number, self._reader.damage.good_bytes, at_us)
        return whole

    def _of_this_installation(self, stored: StoredState | None) -> StoredState | None:
        """Return the state file if it counts: of two installations of one name, the later one's records do.

        Raises UnreadableFileError if the journal is another installation's.
        """
        state = self._records.state
        if state.cluster_name != self._cluster:
            raise UnreadableFileError(_of_another(state.cluster_name))
        ids = (state.installation_id, stored.state.installation_id if stored and stored.ours else "")
        if stored is None or not all(ids) or ids[0] == ids[1]:
            return stored
        if stored.offset.at_us > self._records.offset.at_us:
            raise UnreadableFileError(f"it is of an earlier installation, {ids[0][:8]!r}")
        self._refuse_state(f"it is of an earlier installation, {ids[1][:8]!r}")
        return None

    def _knows_more(self, stored: StoredState, *, whole: bool) -> bool:
        """Whether the state file knows of events that are lost with a segment of the journal."""
        if not (stored.ours and self._records.offset.events):
            return False
        if stored.offset.events <= self._records.offset.events:
            return not whole
        return not self._journal.exists()  # a crash cuts that file short, but does not remove it

    def _import(self, stored: StoredState) -> None:
        """Take over what a state file knows and the journal does not, as a change to be recorded."""
        known = self._records.offset.events
        if stored.ours and known:
            # After a crash nothing had acted on what is lost; somebody else may have cut off more.
            if (lost := stored.offset.events - known) > 0:
                self._notices.append(
                    f"the journal was cut short: the state file knew of {count(lost, 'more event')}; the state is "
                    "made from what is left, and each step's check says whether it still holds"
                )
            return
        self._take_in(stored.state, "state file" if known or not stored.ours else WITHOUT_JOURNAL)

    def _take_in(self, state: State, source: str) -> None:
        before = self._records.state
        if changes := differences(before, state):
            imported = state_from_document(state.as_document())
            imported.cluster_name = before.cluster_name
            imported.installation_id = imported.installation_id or before.installation_id
            document = imported.as_document()
            self._records.imported = {"source": source, "changes": changes, "document": document}
            self._records.state = imported

    def _without_journal(self, error: UnreadableFileError, stored: StoredState | None) -> Records:
        records = self._records
        records.state, records.offset = State(self._cluster), START
        where, unusable = "left as it is", self._journal
        if not os.path.lexists(unusable):  # then what was moved out of it is
            rotated = (segment.path for segment in past_segments(self._journal) if not segment.is_compressed)
            unusable = next(rotated, self._layout.past)
        if self._mend:
            where = f"kept as {quarantine(unusable).name}"
        text = f"{self._journal} is no journal of {self._cluster} ({error}); it is {where}, and a new one is begun"
        self._notices.append(text)
        if stored:
            self._import(stored)
        if not self._mend or not past_segments(self._journal):
            return records
        rest = mend_records(self._layout, self._cluster)
        rest.notices = [*self._notices, *rest.notices]
        return rest

    def _treat_damage(self) -> None:
        """Repair the journal, or report what the next run will repair."""
        path, lines, records = self._journal, count(self._reader.damage.lines, "line"), self._records
        if self._mend:
            if kept := repair(path, self._reader):
                self._notices.append(f"{path} was damaged ({lines}); it is kept as {kept.name}, its events were saved")
                end = self._reader.base + path.stat().st_size
                records.offset = JournalOffset(records.offset.events, end, records.offset.at_us)
            return
        if self._reader.damage.lines:
            text = f"{path} is damaged ({lines}); the next run sets it aside, and saves its events"
            self._notices.append(text)
        if records.imported and records.imported["source"] == WITHOUT_JOURNAL:
            self._notices.append(f"{path.name} is gone or holds no event: the state is the state file's")


def _of_another(cluster: str) -> str:
    return f"it is of another installation, {cluster[:63]!r}"
