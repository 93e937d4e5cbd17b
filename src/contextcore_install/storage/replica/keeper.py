"""Keeps the records in the cluster close behind the events, and the lease on them, in a thread of its own.

No run fails for it or waits for it: failures are reported once, and the end has a time limit.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import DURABLE, TRANSIENT, Event, JournalOffset, Kind, second
from contextcore_install.core.interfaces import StepContext
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
from contextcore_install.engine.state import CLUSTER_STEP, COMPLETED, state_from_document
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.replica.lease import ELSEWHERE, RENEW_S, UNCONFIRMED, Lease
from contextcore_install.storage.store import Records
from contextcore_install.system.files import write_atomically

WRITE_S, URGENT_S = 2.0, 1.0  # between two writes at least: of details, and of a step's transitions
LOCAL_STEP = "preflight"  # changes nothing but this machine, and needs no lease
#: What a run records that does nothing. If it is over before the first write is due, the cluster is not told of it.
_IDLE = frozenset({Kind.RUN_STARTED, Kind.RUN_FINISHED, Kind.FINDING, Kind.NOTICE, Kind.COMMAND_FINISHED})

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


@dataclass(frozen=True, slots=True)
class RemoteCopy:
    """The cluster's records as a run found them.

    `version` is that of the records that were read; `has_place` says that there were any, and `in_step` that they say
    the same as this machine's. `tail` is the journal's end that is carried on, if it is not this machine's.
    """

    remote: Remote
    lease: Lease
    version: str = ""
    has_place: bool = False
    in_step: bool = False
    tail: Sequence[str] = ()


class ReplicaSync:
    """A projection. `report` shows the user a failure, `lost` takes over when another machine has the lease.

    Both are called in any thread.
    """

    def __init__(
        self,
        copy: RemoteCopy,
        records: Records,
        layout: ClusterLayout,
        redaction: Redaction,
        *,
        report: Callable[[str], None],
        lost: Callable[[InstallError], None],
    ) -> None:
        self._remote, self._lease, self._version = copy.remote, copy.lease, copy.version
        self._state = state_from_document(records.state.as_document())
        self._end = records.offset
        self._layout = layout
        self._term = 0
        self._redaction = redaction
        self._report = report
        self._lost = lost
        self._tail = list(copy.tail)
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()  # None at the end
        self._ending = threading.Event()
        self._urgent = self._unwritten = False
        self._has_place = copy.has_place  # the cluster is up, and the place in it is ours
        self._leaving = self._removed = False
        self._may_write_without_lease = False
        self._idle = copy.in_step  # nothing was done so far that the cluster has to know
        self._written_at = time.monotonic()
        self._renewed_at = time.monotonic() if self._idle else float("-inf")
        self._reported = False
        self._thread = threading.Thread(target=self._work, name="cluster records", daemon=True)
        self.start = self._thread.start

    # In the engine's thread

    def handle(self, event: Event) -> None:
        if event.kind in TRANSIENT:
            return
        if event.step == CLUSTER_STEP:
            self._has_place = self._has_place or event.kind is Kind.STEP_COMPLETED
            self._leaving = self._leaving or event.kind is Kind.STEP_UNDO_STARTED
            self._removed = event.kind is Kind.STEP_UNDONE or (self._removed and event.kind is not Kind.STEP_STARTED)
        self._inbox.put(event)

    def close(self, timeout_s: float) -> None:
        """Write what is left and release the lease, within so many seconds."""
        self._ending.set()
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # In the steps' threads

    def confirm(self, ctx: StepContext, step: str) -> None:
        """Return when a step may act; raises InstallError if another machine has, or may have, the lease.

        `LOCAL_STEP` always may. If the step makes the cluster, nobody else can act on one that does not answer either.
        Without the right to a lease there is none, which is reported.
        """
        if step == LOCAL_STEP:
            return
        try:
            self._lease.confirm(ctx.wait, make=self._has_place and not self._leaving)
        except InstallError as error:
            if error.code == ELSEWHERE:
                self._lost(error)
                raise
            if error.code == UNCONFIRMED and step != CLUSTER_STEP:
                raise
            self._report_failure(error)

    # In its own thread

    def _work(self) -> None:
        if not self._tail:
            self._tail = self._lines_before()
        while True:
            ending = self._receive()
            if self._lease.taken_by is not None:
                return
            if ending:
                with suppress(InstallError):
                    self._finish()
                return
            try:
                self._keep(write=self._write_in_s() <= 0)
            except InstallError as error:
                if error.code == ELSEWHERE:
                    self._lost(error)
                    return
                self._report_failure(error)

    def _receive(self) -> bool:
        """Take in what was reported, which is waited for until something is due; return whether that was all."""
        write_in_s, renew_in_s = self._write_in_s(), self._renewed_at + RENEW_S - time.monotonic()
        with suppress(queue.Empty):
            event = self._inbox.get(timeout=max(0.05, min(write_in_s, renew_in_s)) if write_in_s > 0 else 0.0)
            while event is not None:
                self._take_in(event)
                event = self._inbox.get_nowait()
            return True
        return False

    def _write_in_s(self) -> float:
        if not self._unwritten:
            return RENEW_S
        return self._written_at + (URGENT_S if self._urgent else WRITE_S) - time.monotonic()

    def _take_in(self, event: Event) -> None:
        self._idle = self._idle and (event.kind in _IDLE or self._is_confirmed(event))
        # What was done already is not worth a write of its own: a run with nothing to do stays quick.
        is_news = event.kind in DURABLE and event.step and not event.data.get("already")
        self._urgent = self._urgent or bool(is_news)
        self._unwritten = self._unwritten or event.kind is not Kind.HEARTBEAT  # the lease says that already
        self._state.apply(event)
        self._tail.append(self._line(event))
        self._end = JournalOffset(event.number, 0, event.at_us)

    def _is_confirmed(self, event: Event) -> bool:
        """Tell whether a step turned out to be done, as it was known to be."""
        known = self._state.step(event.step).status == COMPLETED
        return known and event.kind is Kind.STEP_COMPLETED and bool(event.data.get("already"))

    def _keep(self, *, write: bool) -> None:
        if self._idle and not write:
            return
        self._idle = False
        if write:
            self._written_at, self._urgent = time.monotonic(), False
            self._tail = newest_lines(self._tail, MOST_BYTES)
        lacking = self._has_place and not self._lease.held and not self._may_write_without_lease
        if lacking or time.monotonic() - self._renewed_at >= RENEW_S:
            self._renewed_at = time.monotonic()
            self._renew()
        if write:
            self._write()

    def _renew(self) -> None:
        self._lease.renew()
        if not self._lease.held and self._has_place and not self._leaving:
            try:
                self._lease.take(self._pause, make=True)
            except InstallError as error:
                self._may_write_without_lease = error.code == "api-forbidden"
                raise

    def _pause(self, seconds: float) -> None:
        if self._ending.wait(seconds):
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
            # Others changed or removed them; the lease is ours, so our records count.
            found = self._remote.records.read()
            if found is None and self._leaving:
                return
            self._lease.renew()
            if found and not self._version:
                self._report_replaced(found)
            self._version = self._remote.records.write(content, found.version if found else "")
        self._unwritten = False
        if self._lease.term != self._term:
            self._term = self._lease.term
            with suppress(OSError):
                write_atomically(self._layout.lease_term, f"{self._term}\n")

    def _report_replaced(self, found: StoredObject) -> None:
        """Report whose records are replaced that could not be read before the run, as the cluster did not answer."""
        with suppress(ValueError):
            there = unpack(found.content)
            if there.writer != self._lease.identity:
                at = second(there.at_us)
                self._report(f"the cluster's records, written by {there.host}, {at}, give way to this run's")

    def _finish(self) -> None:
        if self._idle:
            return
        if not self._removed:
            try:
                if self._unwritten:
                    self._keep(write=True)
            finally:
                self._lease.release()
            return
        with suppress(OSError):
            self._layout.lease_term.unlink(missing_ok=True)
        self._remote.records.remove()
        self._remote.lease.remove()

    def _packed(self) -> dict[str, str]:
        state = state_from_document(self._redaction.document(self._state.as_document()))
        lease, end, tail = self._lease, self._end, tuple(self._tail)
        return RemoteRecords(state, end.events, end.at_us, lease.host, lease.identity, tail, lease.term).pack()

    def _line(self, event: Event) -> str:
        return _encode(self._redaction.document(event.as_document())) + "\n"

    def _lines_before(self) -> list[str]:
        """Return what the journal held before this run, as far as it fits."""
        with suppress(InstallError, UnreadableFileError, OSError):
            reader = JournalReader(self._layout.journal)
            events = reader.read(reader.near_end(MOST_BYTES))
            return [self._line(event) for _, event in events if event.number <= self._end.events]
        return []

    def _report_failure(self, error: InstallError) -> None:
        """Report a failure, once a run; not while the cluster is taken down, when nothing else is to be expected."""
        if not self._reported and not self._leaving and self._has_place:
            self._reported = True
            self._report(f"the records in the cluster cannot be kept: {error.message}")
