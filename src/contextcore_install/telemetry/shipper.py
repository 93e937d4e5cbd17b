"""Sends the events to the stack that is being installed: metrics, traces and logs, each with a worker of its own.

What speaks HTTP is imported when there is a backend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.events import TRANSIENT, Event, Kind, second
from contextcore_install.core.interfaces import CursorStore, EventSource, StepContext
from contextcore_install.core.text import count
from contextcore_install.telemetry.cursors import Cursor, JournalReplacedError, Offset, SharedCursors, events_behind
from contextcore_install.telemetry.export_worker import GATHER_S, ExportWorker
from contextcore_install.telemetry.failures import FailureKind, StoreError
from contextcore_install.telemetry.folds.metrics import is_measured

if TYPE_CHECKING:
    from contextcore_install.telemetry.exporters.metrics import MetricsExporter

Url = Callable[[], str | None]
"""Returns where a backend is, or None while there is none; may raise InstallError."""

_GATHER_LONG_S = 5.0  # spans and lines: nobody waits for them, as for the metrics that a step reads back
_BACKENDS = {
    "metrics": ("the metrics store", "samples", GATHER_S),
    "traces": ("the trace collector", "spans", _GATHER_LONG_S),
    "logs": ("the log store", "lines", _GATHER_LONG_S),
}
_FLUSH_ATTEMPTS, _FLUSH_LONGEST_PAUSE_S = 3, 10.0
_READ_BACK_S = 3.0
_MOST_CLOCK_LAG_S = 20.0  # how far the clock may be behind the records to be waited for


class Shipper:
    """The Telemetry port, and threads that export while a run lives (`start` to `close`), one for each backend.

    What a backend has not taken is in the journal, and its cursor says from where. `report` gets one sentence a run
    about each backend that cannot be used, and one about what it refused, from the workers' threads or from `close`.
    """

    def __init__(
        self,
        events: EventSource,
        cursors: CursorStore,
        cluster: str,
        metrics_url: Url,
        report: Callable[[str], None],
        *,
        traces_url: Url = lambda: None,
        logs_url: Url = lambda: None,
    ) -> None:
        self._events, self._cluster = events, cluster
        self._cursors = SharedCursors(cursors, threading.Lock())
        self._workers: list[ExportWorker[Any]] = []
        for signal, url in (("metrics", metrics_url), ("traces", traces_url), ("logs", logs_url)):
            self._workers.append(ExportWorker(url, partial(self._exporter, signal), report, *_BACKENDS[signal]))
        self._metrics: ExportWorker[MetricsExporter] = self._workers[0]

    def _exporter(self, signal: str, url: str) -> Any:
        from contextcore_install.telemetry.exporters.loki import LogExporter
        from contextcore_install.telemetry.exporters.metrics import MetricsExporter
        from contextcore_install.telemetry.exporters.otlp import TraceExporter

        exporters = {"metrics": MetricsExporter, "traces": TraceExporter, "logs": LogExporter}
        return exporters[signal](url, self._events, self._cursors, self._cluster)

    # The Telemetry port

    def backend(self) -> str:
        with self._store() as exporter:
            return str(exporter.backend)

    def query_url(self) -> str:
        with self._store() as exporter:
            return f"{exporter.client.base_url}{exporter.backend.query_path}"

    def flush(self, ctx: StepContext) -> int:
        ctx.recorded()
        for attempt in range(1, _FLUSH_ATTEMPTS + 1):
            try:
                return self._export_all(ctx)
            except StoreError as error:
                pause = max(error.retry_after_s, 0.5 * attempt)
                longest = min(_FLUSH_LONGEST_PAUSE_S, ctx.remaining_s)
                if error.kind is FailureKind.REFUSES or pause > longest or attempt == _FLUSH_ATTEMPTS:
                    raise error.as_install_error() from error
            ctx.wait(pause)
        raise AssertionError("unreachable")

    def _export_all(self, ctx: StepContext) -> int:
        """Send all samples; wait for what is dated in the future, if it soon will not be. Raises StoreError."""
        sent = 0
        while True:
            began_us = time.time_ns() // 1000
            with self._metrics.backend() as exporter:
                sent += self._metrics.export(exporter)
                following = events_behind(self._events, exporter.cursor.sent)
                next_us = next((event.at_us for _, event in following), None)
            if next_us is None or next_us <= began_us:
                return sent
            ahead_us = next_us - time.time_ns() // 1000
            if ahead_us > min(_MOST_CLOCK_LAG_S, ctx.remaining_s) * 1_000_000:
                raise _clock_behind(next_us - ahead_us, next_us)
            ctx.activity("waiting for the clock, which was set back")
            ctx.wait(max(0, ahead_us) / 1_000_000)

    def missing_samples(self) -> Sequence[str]:
        """Take up to some 3 s if something is missing, as stores show new samples only after a while.

        What is missing then is sent again by the next `flush`; what the store drops for its age is given up after
        that, and reported once.
        """
        from contextcore_install.telemetry.exporters.metrics import in_words, missing_after_wait, sent_samples

        with self._store() as exporter:
            backend, cursor = exporter.backend, exporter.cursor
            if unsent := self._unsent_behind(cursor):
                return [f"{backend} has nothing of {count(unsent, 'event')} of earlier runs"]
            samples, base = sent_samples(exporter.read_from(cursor.base), cursor)
            missing = missing_after_wait(backend, samples, _READ_BACK_S)
            if missing:
                loss = exporter.missed(samples, missing)
                if loss is None:
                    return in_words(missing, backend)
                self._metrics.report_losses([loss])
            exporter.cursor = replace(exporter.cursor, base=base)
            return []

    def measured(self) -> bool:
        """Go by the cursor, and ask the store only if nothing is recorded here, as on another machine."""
        fold = self._cursor().sent.fold
        if isinstance(fold.get("state"), dict):
            return is_measured(fold)
        if next(iter(self._events.read(0)), None) is not None:
            return False
        from contextcore_install.telemetry.rebuild import rebuild

        try:
            with self._metrics.backend() as exporter:
                found = rebuild(exporter.client.base_url, self._cluster, 0, _READ_BACK_S)
        except (InstallError, StoreError):
            return False
        return found is not None and bool(found.state.verified_at)

    def unsent(self) -> int:
        """While a run lives its events are on their way already, so they are sent before they are counted.

        Else no store is asked, and it goes by the cursor of the one used last.
        """
        if self._metrics.alive:
            self._metrics.attempt()
        return self._unsent_behind(self._cursor())

    def _cursor(self) -> Cursor:
        exporter = self._metrics.exporter
        return exporter.cursor if exporter else self._cursors.last_metrics()

    def _unsent_behind(self, cursor: Cursor) -> int:
        try:
            behind = [event for _, event in events_behind(self._events, cursor.sent)]
        except JournalReplacedError:
            behind = [event for _, event in events_behind(self._events, Offset())]
        # What `verify` found while the store was away is no part of the installation's story.
        waiting = [event for event in behind if not event.stands_alone]
        if waiting and waiting[-1].kind is not Kind.RUN_FINISHED:
            return sum(event.run_id != waiting[-1].run_id for event in waiting)
        return len(waiting)

    @contextmanager
    def _store(self) -> Iterator[MetricsExporter]:
        """Within the block, use the store alone; raises InstallError when it cannot be used."""
        try:
            with self._metrics.backend() as exporter:
                yield exporter
        except StoreError as error:
            raise error.as_install_error() from error

    # While a run lives

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def handle(self, event: Event) -> None:
        if event.kind not in TRANSIENT:
            for worker in self._workers:
                worker.wake()

    def close(self, limit_s: float = 2.0) -> None:
        """Send what is left and end the threads, within `limit_s` seconds for all, whatever the backends do."""
        end = time.monotonic() + limit_s
        for wait in [worker.finish(end) for worker in self._workers]:
            wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _clock_behind(now_us: int, next_us: int) -> InstallError:
    return InstallError(
        "clock-behind",
        f"this machine's clock says {second(now_us)}, and the records go on from {second(next_us)}",
        evidence="A store takes no samples from the future; they wait in the journal until their time has come.",
        hint="set the clock right; if it is right, and was wrong before, begin new records: "
        f"{own('--reset')} (the old ones are kept)",
    )
