"""Ships the events to the stack that is being installed: metrics, traces and logs, each its own way.

Importing this costs next to nothing; what talks HTTP and protobuf is imported when there is a backend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import TRANSIENT, Event, Kind, second
from contextcore_install.core.hints import own
from contextcore_install.core.ports import CursorStore, EventSource, StepContext
from contextcore_install.core.text import count
from contextcore_install.telemetry.export_worker import ExportWorker
from contextcore_install.telemetry.failure_reporter import FailureReporter

if TYPE_CHECKING:
    from contextcore_install.telemetry.cursor import Cursor
    from contextcore_install.telemetry.exporters.exporter import Exporter
    from contextcore_install.telemetry.exporters.metrics import MetricsExporter
    from contextcore_install.telemetry.shared_cursors import SharedCursors

Url = Callable[[], str | None]
"""Returns where a backend is, or None while there is none; may raise InstallError."""

_SELDOM_S = 5.0
"""How long spans and lines are gathered: nobody waits for them, as for the metrics that a step reads back."""

_FLUSH_ATTEMPTS = 3
_FLUSH_LONGEST_PAUSE_S = 10.0
_READ_BACK_S = 3.0
_CLOCK_PATIENCE_S = 20.0
"""How far the clock may be behind the records, in seconds, to be waited for."""


def _nowhere() -> str | None:
    return None


class Shipper:
    """The Telemetry port, and threads that ship while a run lives (`start` to `close`), one for each backend.

    There is no queue: what a backend has not taken is in the journal, and its cursor says from where. `report` gets
    one sentence a run about each backend that is of no use, and one about what it refused; it is called from the
    shipping threads or from `close`. As a projection of the run it is nudged by every event worth sending.
    """

    def __init__(
        self,
        events: EventSource,
        cursors: CursorStore,
        cluster: str,
        metrics_url: Url,
        report: Callable[[str], None],
        *,
        traces_url: Url = _nowhere,
        logs_url: Url = _nowhere,
    ) -> None:
        self._events = events
        self._cursors = cursors
        self._cluster = cluster
        self._keeping = threading.Lock()
        self._metrics = ExportWorker(
            metrics_url, self._metrics_link, FailureReporter(report, "the metrics store", "samples")
        )
        traces = FailureReporter(report, "the trace collector", "spans")
        logs = FailureReporter(report, "the log store", "lines")
        self._lanes: list[ExportWorker[Any]] = [
            self._metrics,
            ExportWorker(traces_url, self._trace_link, traces, _SELDOM_S),
            ExportWorker(logs_url, self._log_link, logs, _SELDOM_S),
        ]

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
        """Send all samples that are unsent and return how many that were; raises InstallError."""
        from contextcore_install.telemetry.exporters.client import FailureKind, StoreError, as_install_error

        ctx.recorded()
        for attempt in range(1, _FLUSH_ATTEMPTS + 1):
            try:
                return self._ship_all(ctx)
            except StoreError as trouble:
                pause = max(trouble.retry_after_s, 0.5 * attempt)
                hopeless = trouble.kind is FailureKind.REFUSES or pause > min(_FLUSH_LONGEST_PAUSE_S, ctx.remaining_s)
                if hopeless or attempt == _FLUSH_ATTEMPTS:
                    raise as_install_error(trouble) from trouble
            ctx.wait(pause)
        raise AssertionError("unreachable")

    def _ship_all(self, ctx: StepContext) -> int:
        """Send all samples; what is dated in the future is waited for, where it soon will not be. Raises StoreError."""
        sent = 0
        while True:
            began_us = _now_us()
            with self._metrics.backend() as link:
                sent += self._metrics.ship(link)
                next_us = link.feed.next_us(link.cursor.sent)
            if next_us is None or next_us <= began_us:
                return sent
            ahead_us = next_us - _now_us()
            if ahead_us > min(_CLOCK_PATIENCE_S, ctx.remaining_s) * 1_000_000:
                raise _clock_behind(ahead_us)
            ctx.activity("waiting for the clock, which was set back")
            ctx.wait(max(0, ahead_us) / 1_000_000)

    def unconfirmed(self) -> Sequence[str]:
        """Return what the store does not show of all that earlier runs and this one have sent.

        Takes up to some 3 s where something is missing, as stores show new samples only after a while. What
        is missing then is sent again by the next `flush`; what the store drops for its age is given up after
        that, and told of once. Raises InstallError when the store cannot be asked.
        """
        from dataclasses import replace

        from contextcore_install.telemetry.readback import absent_after_wait, in_words, sent_samples

        with self._store() as link:
            if unsent := self._unsent_behind(link.cursor):
                return [f"{link.backend} has nothing of {count(unsent, 'event')} of earlier runs"]
            samples, base = sent_samples(link.feed, link.cursor)
            missing = absent_after_wait(
                link.client, link.backend, self._cluster, samples, self._metrics.patience(), _READ_BACK_S
            )
            if missing:
                loss = link.missed(samples, [absence.sample for absence in missing])
                if loss is None:
                    return in_words(missing, link.backend)
                self._metrics.lost(loss)
            link.cursor = replace(link.cursor, base=base)
            return []

    def measured(self) -> bool:
        """Say whether the store used last has a measurement of the installation as it is now.

        It goes by the cursor, and asks the store only if nothing is recorded here, as on another machine.
        """
        from contextcore_install.telemetry.folds.metrics import is_measured

        fold = self._cursor().sent.fold
        if isinstance(fold.get("state"), dict):
            return is_measured(fold)
        return next(iter(self._events.read(0)), None) is None and self._shows_verification()

    def _shows_verification(self) -> bool:
        from contextcore_install.telemetry.exporters.client import StoreError
        from contextcore_install.telemetry.rebuild import rebuild

        try:
            with self._metrics.backend() as link:
                found = rebuild(link.backend.base_url, self._cluster, 0, _READ_BACK_S)
        except (InstallError, StoreError):
            return False
        return found is not None and bool(found.state.verified_at)

    def unsent(self) -> int:
        """Return how many events of finished runs the store has not taken, as far as is known here.

        While a run lives they are on their way already, so they are sent before they are counted; else no
        store is asked, and it goes by the cursor of the one used last.
        """
        if self._metrics.alive:
            self._metrics.attempt()
        return self._unsent_behind(self._cursor())

    def _cursor(self) -> Cursor:
        if link := self._metrics.link:
            return link.cursor
        return self._book().last_metrics()

    def _unsent_behind(self, cursor: Cursor) -> int:
        from contextcore_install.telemetry.batches import JournalReplacedError, events_behind
        from contextcore_install.telemetry.cursor import Point

        try:
            behind = [event for _, event in events_behind(self._events, cursor.sent)]
        except JournalReplacedError:
            behind = [event for _, event in events_behind(self._events, Point())]
        # What `verify` found while the store was away is no part of the installation's story.
        waiting = [event for event in behind if not event.stands_alone]
        if waiting and waiting[-1].kind is not Kind.RUN_FINISHED:
            return sum(event.run_id != waiting[-1].run_id for event in waiting)
        return len(waiting)

    @contextmanager
    def _store(self) -> Iterator[MetricsExporter]:
        """Within the block, have the store to oneself; raises InstallError when it is of no use."""
        from contextcore_install.telemetry.exporters.client import StoreError, as_install_error

        try:
            with self._metrics.backend() as link:
                yield link
        except StoreError as trouble:
            raise as_install_error(trouble) from trouble

    # While a run lives

    def start(self) -> None:
        """Begin to ship in threads of their own."""
        for lane in self._lanes:
            lane.start()

    def handle(self, event: Event) -> None:
        """Take note that there is something to send."""
        if event.kind not in TRANSIENT:
            for lane in self._lanes:
                lane.nudge()

    def close(self, limit_s: float = 2.0) -> None:
        """Send what is left and end the threads, within `limit_s` seconds for all, whatever the backends do."""
        end = time.monotonic() + limit_s
        for wait in [lane.finish(end) for lane in self._lanes]:
            wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What there is to ship to

    def _book(self) -> SharedCursors:
        from contextcore_install.telemetry.shared_cursors import SharedCursors

        return SharedCursors(self._cursors, self._keeping)

    def _metrics_link(self, url: str) -> MetricsExporter:
        from contextcore_install.telemetry.exporters.metrics import MetricsExporter

        return MetricsExporter(url, self._events, self._book(), self._cluster)

    def _trace_link(self, url: str) -> Exporter[Any]:
        from contextcore_install.telemetry.exporters.otlp import TraceExporter

        return TraceExporter(url, self._events, self._book(), self._cluster)

    def _log_link(self, url: str) -> Exporter[Any]:
        from contextcore_install.telemetry.exporters.loki import LogExporter

        return LogExporter(url, self._events, self._book(), self._cluster)


def _now_us() -> int:
    return time.time_ns() // 1000


def _clock_behind(ahead_us: int) -> InstallError:
    now_us = _now_us()
    now, then = second(now_us), second(now_us + ahead_us)
    return InstallError(
        "clock-behind",
        f"this machine's clock says {now}, and the installation's records go on from {then}",
        evidence="A store takes no samples from the future; they wait in the journal until their time has come.",
        hint="set the clock right; if it is right, and was wrong before, begin new records: "
        f"{own('--reset')} (the old ones are kept)",
    )
