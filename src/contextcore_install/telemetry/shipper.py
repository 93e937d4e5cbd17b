"""Ships the events to the metrics store, beside the run and never in its way.

Importing this costs next to nothing; what talks HTTP and protobuf is imported when there is a store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import TRANSIENT, Event, Kind
from contextcore_install.core.ports import CursorStore, EventSource, StepContext
from contextcore_install.telemetry.complaints import Complaints

if TYPE_CHECKING:
    from contextcore_install.telemetry.client import Patience, StoreError
    from contextcore_install.telemetry.cursor import Cursor
    from contextcore_install.telemetry.link import Link
    from contextcore_install.telemetry.remote_write import Refusal

INTERVAL_S = 1.0
"""How often the journal is looked at when nothing nudges."""

GATHER_S = 0.2
"""How long events are gathered before they are sent."""

_FLUSH_ATTEMPTS = 3
_FLUSH_LONGEST_PAUSE_S = 10.0
_READ_BACK_S = 3.0


class Shipper:
    """The Telemetry port, and a thread that ships while a run lives (`start` to `close`).

    There is no queue: what a store has not taken is in the journal, and its cursor says from where.
    `base_url` returns the store's URL, or None while there is none. `report` gets one sentence a run
    about a store that is of no use, and one about samples it refused; it is called from the shipping
    thread or from `close`. As a projection of the run it is nudged by every event worth sending.
    """

    def __init__(
        self,
        events: EventSource,
        cursors: CursorStore,
        cluster: str,
        base_url: Callable[[], str | None],
        report: Callable[[str], None],
    ) -> None:
        self._events = events
        self._cursors = cursors
        self._cluster = cluster
        self._base_url = base_url
        self._complaints = Complaints(report)
        self._link: Link | None = None
        self._using = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._end = float("inf")

    # The Telemetry port

    def backend(self) -> str:
        """Say which store the samples go to; raises InstallError when none takes them."""
        with self._store() as link:
            return str(link.backend)

    def query_url(self) -> str:
        """Return where the store is queried, as the Prometheus API does it; raises InstallError."""
        with self._store() as link:
            return f"{link.backend.base_url}{link.backend.query_prefix}/api/v1/query"

    def flush(self, ctx: StepContext) -> int:
        """Send all that is unsent and return how many samples that were; raises InstallError."""
        from contextcore_install.telemetry.client import StoreError, Trouble, as_install_error

        ctx.recorded()
        for attempt in range(1, _FLUSH_ATTEMPTS + 1):
            try:
                with self._using:
                    sent = self._ship(self._connected())
                    self._let_go()
                    return sent
            except StoreError as trouble:
                self._note(trouble)
                pause = max(trouble.retry_after_s, 0.5 * attempt)
                hopeless = trouble.trouble is Trouble.REFUSES or pause > min(
                    _FLUSH_LONGEST_PAUSE_S, ctx.remaining_s
                )
                if hopeless or attempt == _FLUSH_ATTEMPTS:
                    raise as_install_error(trouble) from trouble
            ctx.wait(pause)
        raise AssertionError("unreachable")

    def unconfirmed(self) -> Sequence[str]:
        """Return what the store does not show of all that earlier runs and this one have sent.

        Takes up to some 3 s where something is missing, as stores show new samples only after a while. What
        is missing then is sent again by the next `flush`. Raises InstallError when the store cannot be asked.
        """
        from dataclasses import replace

        from contextcore_install.telemetry.readback import absent_after_wait, in_words, sent_samples

        with self._store() as link:
            if unsent := self._unsent_behind(link.cursor):
                return [f"{link.backend} has nothing of {unsent} events of earlier runs"]
            samples, base = sent_samples(link.feed, link.cursor)
            missing = absent_after_wait(
                link.client, link.backend, self._cluster, samples, self._patience(), _READ_BACK_S
            )
            if missing:
                link.distrust()
                return in_words(missing, link.backend)
            link.cursor = replace(link.cursor, base=base)
            return []

    def measured(self) -> bool:
        """Say whether the store used last has taken what a verification measured; asks no store."""
        state = self._cursor().sent.fold.get("state", {})
        return bool(state.get("verified_at"))

    def unsent(self) -> int:
        """Return how many events of finished runs the store has not taken, as far as is known here.

        While a run lives they are on their way already, so they are sent before they are counted; else no
        store is asked, and it goes by the cursor of the one used last.
        """
        if self._thread is not None:
            self._attempt()
        return self._unsent_behind(self._cursor())

    def _cursor(self) -> Cursor:
        from contextcore_install.telemetry.cursor import cursor_from_document

        if self._link is not None and self._link.connected:
            return self._link.cursor
        documents = list(self._cursors.load().values())
        return cursor_from_document(documents[-1] if documents else {})

    def _unsent_behind(self, cursor: Cursor) -> int:
        from contextcore_install.telemetry.cursor import Feed, JournalReplacedError, Point

        feed = Feed(self._events, self._cluster)
        try:
            waiting = [event for _, event in feed.events(cursor.sent)]
        except JournalReplacedError:
            waiting = [event for _, event in feed.events(Point())]
        if waiting and waiting[-1].kind is not Kind.RUN_FINISHED:
            return sum(event.run_id != waiting[-1].run_id for event in waiting)
        return len(waiting)

    @contextmanager
    def _store(self) -> Iterator[Link]:
        """Within the block, have the store to oneself; raises InstallError when it is of no use."""
        from contextcore_install.telemetry.client import StoreError, as_install_error

        try:
            with self._using:
                yield self._connected()
                self._let_go()
        except StoreError as trouble:
            self._note(trouble)
            raise as_install_error(trouble) from trouble

    # While a run lives

    def start(self) -> None:
        """Begin to ship in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def handle(self, event: Event) -> None:
        """Take note that there is something to send."""
        if event.kind not in TRANSIENT:
            self._wake.set()

    def close(self, limit_s: float = 2.0) -> None:
        """Send what is left and end the thread, within `limit_s` seconds whatever the store does."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end = time.monotonic() + limit_s
        self._closing.set()
        self._wake.set()
        thread.join(limit_s)
        if thread.is_alive():
            self._complaints.told_unfinished()
        else:
            self._complaints.told_at_the_end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing.wait(GATHER_S):
            if time.monotonic() >= self._complaints.next_try:
                self._attempt()
            pause = max(INTERVAL_S, self._complaints.next_try - time.monotonic())
            if pause > INTERVAL_S:
                self._closing.wait(pause)  # a nudge does not make a dead store live
            else:
                self._wake.wait(pause)
                self._wake.clear()
        self._attempt()
        if self._link is not None:
            self._link.client.close()

    def _attempt(self) -> None:
        """Send what is there. Nothing that goes wrong may end the thread or reach the run."""
        left = self._end - time.monotonic()
        if left <= 0 or not self._using.acquire(timeout=min(60.0, left)):
            return
        try:
            if self._has_store():
                self._ship(self._connected())
        except Exception as error:  # noqa: BLE001 - telemetry never fails a run
            self._failed(error)
        finally:
            self._using.release()

    def _ship(self, link: Link) -> int:
        """Send everything and return the number of samples; raises StoreError."""
        sent, more = 0, True
        refused: list[Refusal] = []
        while more:
            delivery = link.deliver(self._patience)
            refused += delivery.refused
            sent += delivery.sent
            more = delivery.more and time.monotonic() < self._end
        if self._closing.is_set():
            link.save()
        self._complaints.recovered()
        self._complaints.refused(refused)
        return sent

    def _has_store(self) -> bool:
        try:
            return bool(self._base_url())
        except InstallError:
            return False  # the provider cannot tell yet; what is wrong with it is the steps' business

    def _connected(self) -> Link:
        """Return a link to the store that is the right one now; raises StoreError."""
        from contextcore_install.telemetry.client import StoreError, Trouble
        from contextcore_install.telemetry.link import Link

        url = self._base_url()
        if not url:
            raise StoreError(Trouble.NO_ANSWER, "this installation has no metrics store yet")
        if self._link is None or self._link.client.base_url != url.rstrip("/"):
            self._link = Link(url, self._events, self._cursors, self._cluster)
        if not self._link.connected:
            self._link.connect(self._patience())
        return self._link

    def _let_go(self) -> None:
        """Close the connection where no thread of ours is there to do it later."""
        if self._thread is None and self._link is not None:
            self._link.client.close()

    def _patience(self) -> Patience:
        from contextcore_install.telemetry.client import Patience

        return Patience().within(self._end - time.monotonic())

    def _failed(self, error: Exception) -> None:
        from contextcore_install.telemetry.client import StoreError, Trouble

        if not isinstance(error, StoreError):
            error = StoreError(Trouble.REFUSES, f"{type(error).__name__}: {error}")
        self._note(error)
        self._complaints.told_now()

    def _note(self, trouble: StoreError) -> None:
        if self._link is not None:
            self._link.disconnect()
        self._complaints.note(trouble)
