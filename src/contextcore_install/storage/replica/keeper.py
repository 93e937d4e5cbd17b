"""Keeps the records in the cluster close behind the events, and the lease on them, in a thread of its own.

No run fails for it or waits for it: what is wrong is told once, and the end has a time limit.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import DURABLE, TRANSIENT, Event, JournalOffset, Kind, second
from contextcore_install.core.ports import StepContext
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.replica import (
    CONFLICT,
    GONE,
    MOST_BYTES,
    Remote,
    RemoteRecords,
    StoredObject,
    newest_lines,
    unpack,
)
from contextcore_install.engine.state import CLUSTER_STEP, State, state_from_document
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.replica.lease import ELSEWHERE, RENEW_S, UNCONFIRMED, Lease
from contextcore_install.system.files import write_atomically

WRITE_S, URGENT_S = 2.0, 1.0
"""How often, in seconds, the records are written at most: while only details happen, and where a step goes on."""


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class RemoteKeeper:
    """A projection.

    `host` and `writer` say whose records they are; `version` is that of the records read before. `term_file` is where
    the lease's term is noted under which this machine wrote last. `tail` is the journal before the run where another
    machine's is carried on, else it is read from ours. `has_place` says that the cluster is up and the place in it
    ours. `report` tells the user of trouble, `lost` that another machine has taken the lease, both in any thread.
    """

    def __init__(
        self,
        remote: Remote,
        lease: Lease,
        state: State,
        *,
        offset: JournalOffset,
        journal: Path,
        host: str,
        writer: str,
        version: str,
        term_file: Path,
        tail: Sequence[str],
        has_place: bool,
        redaction: Redaction,
        report: Callable[[str], None],
        lost: Callable[[InstallError], None],
    ) -> None:
        self._remote = remote
        self._lease = lease
        self._state = state_from_document(state.as_document())
        self._end = offset
        self._journal = journal
        self._host, self._writer = host, writer
        self._version = version
        self._term_file, self._term = term_file, 0
        self._redaction = redaction
        self._report = report
        self._lost = lost
        self._tail: deque[str] = deque(tail)
        self._news: deque[Event] = deque()
        self._changed = threading.Condition()
        self._urgent = self._ending = self._unwritten = False
        self._has_place = has_place
        self._leaving = self._removed = False
        self._may_write_without_lease = False
        self._written_at = time.monotonic()
        self._renewed_at = time.monotonic() if lease.held else float("-inf")  # it was taken a moment ago
        self._told = False
        self._thread = threading.Thread(target=self._work, name="cluster records", daemon=True)

    # In the engine's thread

    def handle(self, event: Event) -> None:
        """Take one event in."""
        if event.kind in TRANSIENT:
            return
        if event.step == CLUSTER_STEP:
            self._has_place = self._has_place or event.kind is Kind.STEP_COMPLETED
            self._leaving = self._leaving or event.kind is Kind.STEP_UNDO_STARTED
            self._removed = event.kind is Kind.STEP_UNDONE or (self._removed and event.kind is not Kind.STEP_STARTED)
        with self._changed:
            self._news.append(event)
            # What was so already is no transition worth a write of its own: a run with nothing to do stays quick.
            if event.kind in DURABLE and event.step and not event.data.get("already"):
                self._urgent = True
            self._changed.notify()

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def close(self, patience_s: float) -> None:
        """Write what is left and let go of the lease; what takes longer than so many seconds is left undone."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    # In the steps' threads

    def confirm(self, ctx: StepContext, *, is_up: bool) -> None:
        """Return when the step may act; raises InstallError where another machine has, or may have, the lease.

        Where the cluster is not known to be up, nobody else can act on it either. Without the right to a lease there
        is none, which is told.
        """
        try:
            self._lease.confirm(ctx.wait, make=self._has_place and not self._leaving)
        except InstallError as error:
            if error.code == ELSEWHERE:
                self._lost(error)
                raise
            if error.code == UNCONFIRMED and is_up:
                raise
            self._trouble(error)

    # In the thread of its own

    def _work(self) -> None:
        if not self._tail:
            self._tail.extend(self._lines_before())
        while True:
            with self._changed:
                if not self._ending and not self._due():
                    self._changed.wait(self._rest_s())
                ending, due = self._ending, self._due()
                news = list(self._news)
                self._news.clear()
                self._urgent = self._urgent and not due
            self._take_in(news)
            if self._lease.taken_by is not None:
                return
            if ending:
                with suppress(InstallError):
                    self._finish()
                return
            try:
                self._keep(write=due and self._unwritten)
            except InstallError as error:
                if error.code == ELSEWHERE:
                    self._lost(error)
                    return
                self._trouble(error)

    def _due(self) -> bool:
        return self._write_in_s() <= 0

    def _write_in_s(self) -> float:
        if not self._news and not self._unwritten:
            return RENEW_S
        return self._written_at + (URGENT_S if self._urgent else WRITE_S) - time.monotonic()

    def _rest_s(self) -> float:
        return max(0.05, min(self._write_in_s(), self._renewed_at + RENEW_S - time.monotonic()))

    def _take_in(self, news: list[Event]) -> None:
        for event in news:
            self._state.apply(event)
            self._tail.append(self._line(event))
            self._end = JournalOffset(event.number, 0, event.at_us)
            self._unwritten = True
        if len(self._tail) > 100:
            self._tail = deque(newest_lines(list(self._tail), MOST_BYTES))

    def _keep(self, *, write: bool) -> None:
        lacking = self._has_place and not self._lease.held and not self._may_write_without_lease
        if lacking or time.monotonic() - self._renewed_at >= RENEW_S:
            self._renewed_at = time.monotonic()
            self._renew()
        if write:
            self._written_at = time.monotonic()
            self._write()

    def _renew(self) -> None:
        if self._lease.held:
            self._lease.renew()
        if not self._lease.held and self._has_place and not self._leaving:
            try:
                self._lease.take(self._pause, make=True)
            except InstallError as error:
                self._may_write_without_lease = error.code == "api-forbidden"
                raise

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._ending, seconds):
                raise InstallError("ending", "the run ends")

    def _write(self) -> None:
        if not self._has_place or not (self._lease.held or self._may_write_without_lease):
            return
        content = self._packed()
        try:
            self._version = self._remote.records.write(content, self._version)
        except InstallError as error:
            if error.code not in (CONFLICT, GONE):
                raise
            # Others changed or removed them; the lease is ours, so what we know counts.
            found = self._remote.records.read()
            if found is None and self._leaving:
                return
            self._lease.renew()
            if found and not self._version:
                self._tell_whose(found)
            self._version = self._remote.records.write(content, found.version if found else "")
        self._unwritten = False
        if self._lease.term != self._term:
            self._term = self._lease.term
            with suppress(OSError):
                write_atomically(self._term_file, f"{self._term}\n")

    def _tell_whose(self, found: StoredObject) -> None:
        """Say whose records are replaced that could not be read before the run, as the cluster did not answer then."""
        with suppress(ValueError):
            there = unpack(found.content)
            if there.writer != self._writer:
                at = second(there.at_us)
                self._report(f"the cluster's records, written by {there.host}, {at}, give way to this run's")

    def _finish(self) -> None:
        if self._removed:
            with suppress(OSError):
                self._term_file.unlink(missing_ok=True)
            self._remote.records.remove()
            self._remote.lease.remove()
            return
        try:
            if self._unwritten:
                self._write()
        finally:
            self._lease.release()

    def _packed(self) -> dict[str, str]:
        shown = state_from_document(self._redaction.document(self._state.as_document()))
        end, tail = self._end, tuple(self._tail)
        return RemoteRecords(shown, end.events, end.at_us, self._host, self._writer, tail, self._lease.term).pack()

    def _line(self, event: Event) -> str:
        return _encode(self._redaction.document(event.as_document())) + "\n"

    def _lines_before(self) -> list[str]:
        """Return what the journal held before this run, as far as there is room for it."""
        with suppress(InstallError, UnreadableFileError, OSError):
            reader = JournalReader(self._journal)
            events = reader.read(reader.near_end(MOST_BYTES))
            return [self._line(event) for _, event in events if event.number <= self._end.events]
        return []

    def _trouble(self, error: InstallError) -> None:
        """Tell what is wrong, once a run; not while the cluster is taken down, when nothing else is to be expected."""
        if not self._told and not self._leaving and self._has_place:
            self._told = True
            self._report(f"the records in the cluster cannot be kept: {error.message}")
