"""Exports to one backend in a thread beside the run, which never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from contextcore_install.core.errors import InstallError
from contextcore_install.telemetry.failures import FailureKind, FailureReporter, Loss, StoreError, Timeouts

if TYPE_CHECKING:
    from contextcore_install.telemetry.exporters.exporter import Exporter

INTERVAL_S = 1.0  # how often the journal is read if nothing wakes the thread
GATHER_S = 0.2  # how long events are gathered before they are sent, at least
_END_SHARE, _END_LEAST_S = 0.005, 0.1
"""How long the end waits for a backend that failed before: a share of the run's time, so many seconds at least."""

AnyExporter = TypeVar("AnyExporter", bound="Exporter[Any]")


class ExportWorker(Generic[AnyExporter]):
    """Exports to one backend from `start` until `finish`. Its queue is the journal, with a cursor.

    `base_url` returns the backend's URL, or None while there is none; `make` makes the exporter to it; `gather_s` is
    how long events are gathered.
    """

    def __init__(
        self,
        base_url: Callable[[], str | None],
        make: Callable[[str], AnyExporter],
        reporter: FailureReporter,
        gather_s: float = GATHER_S,
    ) -> None:
        self._base_url, self._make, self.reporter, self._gather_s = base_url, make, reporter, gather_s
        self._exporter: AnyExporter | None = None
        self._in_use = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._end = float("inf")

    @property
    def exporter(self) -> AnyExporter | None:
        """The exporter, if the backend was found and has not failed since."""
        return self._exporter if self._exporter is not None and self._exporter.connected else None

    @property
    def alive(self) -> bool:
        """Whether the thread has been started, and not been told to end."""
        return self._thread is not None

    def timeouts(self) -> Timeouts:
        return Timeouts().within(self._end - time.monotonic())

    @contextmanager
    def backend(self) -> Iterator[AnyExporter]:
        """Within the block, use the exporter alone; raises StoreError when the backend cannot be used."""
        try:
            with self._in_use:
                exporter = self._connected()
                yield exporter
                if not self.alive:  # else the thread closes the connection
                    exporter.client.close()
        except StoreError as error:
            self._failed(error)
            raise

    def export(self, exporter: AnyExporter) -> int:
        """Send everything and return the number of items; raises StoreError."""
        sent, more = 0, True
        losses: list[Loss] = []
        while more:
            delivery = exporter.deliver()
            sent += delivery.sent
            losses += [delivery.lost] if delivery.lost else []
            more = delivery.more and time.monotonic() < self._end
        if self._closing.is_set():
            exporter.save()
        self.reporter.recovered()
        self.reporter.report_losses(losses)
        return sent

    def attempt(self) -> None:
        """Send what is there. Nothing that goes wrong may end the thread or reach the run."""
        left = self._end - time.monotonic()
        if left <= 0 or not self._in_use.acquire(timeout=min(60.0, left)):
            return
        try:
            if self.exporter is not None or self._known_url():
                self.export(self._connected())
        except Exception as error:  # noqa: BLE001 - telemetry never fails a run
            if not isinstance(error, StoreError):
                error = StoreError(FailureKind.REFUSES, f"{type(error).__name__}: {error}")
            self._failed(error)
            self.reporter.report_early()
        finally:
            self._in_use.release()

    def start(self) -> None:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Take note that there is something to send."""
        self._wake.set()

    def finish(self, end: float) -> Callable[[], None]:
        """Have what is left sent until `end` (monotonic seconds); return what waits until then at most.

        A backend that hung or refused when it was asked last is waited for in proportion to the run.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return lambda: None
        if self.reporter.hopeless:
            now = time.monotonic()
            end = min(end, now + max(_END_LEAST_S, _END_SHARE * (now - self._began)))
        self._end = end
        self._closing.set()
        self._wake.set()

        def wait() -> None:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                self.reporter.report_unfinished()
            else:
                self._end = float("inf")  # who asks later has all the time again
                self.reporter.report_failure()

        return wait

    def _run(self) -> None:
        while not self._closing.wait(self._gather_s):
            if time.monotonic() >= self.reporter.next_try:
                self.attempt()
            pause = max(INTERVAL_S, self.reporter.next_try - time.monotonic())
            if pause > INTERVAL_S:
                self._closing.wait(pause)  # an event does not make a dead backend live
            else:
                self._wake.wait(pause)
                self._wake.clear()
        self.attempt()
        if self._exporter is not None:
            self._exporter.client.close()

    def _known_url(self) -> str | None:
        try:
            return self._base_url() or None
        except InstallError:
            return None  # the provider does not know it yet; what is wrong with it is the steps' business

    def _connected(self) -> AnyExporter:
        if self.exporter is not None:
            return self.exporter
        url = self._base_url()
        if not url:
            raise StoreError(FailureKind.NO_ANSWER, f"{self.reporter.store} is not there yet")
        if self._exporter is None or self._exporter.client.base_url != url.rstrip("/"):
            self._exporter = self._make(url)
            self._exporter.client.timeouts = self.timeouts
            # The port may be another program's by the time of a later connection.
            self._exporter.client.is_theirs = lambda: self._known_url() == url
        self._exporter.connect()
        return self._exporter

    def _failed(self, error: StoreError) -> None:
        if self._exporter is not None:
            self._exporter.disconnect()
        cut_short = self._closing.is_set() and error.kind is FailureKind.TOO_SLOW
        if not (cut_short and self.reporter.hopeless):  # else what it said before says more
            self.reporter.failed(error)
