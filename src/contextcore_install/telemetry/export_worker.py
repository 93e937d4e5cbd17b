"""Exports to one backend in a thread beside the run, which never waits for it: when it tries, and what it reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from contextcore_install.core.errors import InstallError
from contextcore_install.telemetry.failures import FailureKind, Loss, StoreError, Timeouts

if TYPE_CHECKING:
    from contextcore_install.telemetry.exporters.exporter import Exporter

INTERVAL_S = 1.0  # how often the journal is read if nothing wakes the thread
GATHER_S = 0.2  # how long events are gathered before they are sent, at least
_LONGEST_PAUSE_S, _LONGEST_ASKED_PAUSE_S = 15.0, 60.0
_LONGEST_REFUSED_PAUSE_S = 2.0  # to find nothing listening costs next to nothing, and a store may start any moment
_END_SHARE, _END_LEAST_S = 0.005, 0.1
"""How long the end waits for a backend that failed before: a share of the run's time, so many seconds at least."""

AnyExporter = TypeVar("AnyExporter", bound="Exporter[Any]")


class ExportWorker(Generic[AnyExporter]):
    """Exports to one backend from `start` until `finish`, and reports each kind of failure once.

    Its queue is the journal, with a cursor. `base_url` returns the backend's URL, or None while there is none; `make`
    makes the exporter to it. `store` is what people call the backend, `items` what it is given, and `gather_s` how long
    events are gathered.
    """

    def __init__(
        self,
        base_url: Callable[[], str | None],
        make: Callable[[str], AnyExporter],
        report: Callable[[str], None],
        store: str,
        items: str,
        gather_s: float = GATHER_S,
    ) -> None:
        self._base_url, self._make, self._report = base_url, make, report
        self._store, self._items, self._gather_s = store, items, gather_s
        self.exporter: AnyExporter | None = None  # while its backend is known, and has not failed
        self._in_use = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._end = float("inf")
        self._next_try = 0.0
        self._failures, self._worked = 0, False
        self._error: StoreError | None = None
        self._reported: set[str] = set()

    @property
    def alive(self) -> bool:
        """Whether the thread has been started, and not been told to end."""
        return self._thread is not None

    def timeouts(self) -> Timeouts:
        return Timeouts().within(self._end - time.monotonic())

    @contextmanager
    def backend(self) -> Iterator[AnyExporter]:
        """Within the block, use the exporter alone; raises StoreError when the backend cannot be used."""
        with self._in_use:
            try:
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
        self._failures, self._next_try, self._worked, self._error = 0, 0.0, True, None
        self.report_losses(losses)
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
            # Else the run may mend it: a store that is not up yet is what an installation is there for, and one that is
            # starting may refuse for a moment.
            if self._worked or (self._error and self._error.kind is FailureKind.REFUSES and self._failures > 1):
                self._report_failure()
        finally:
            self._in_use.release()

    def start(self) -> None:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def finish(self, end: float) -> Callable[[], None]:
        """Have what is left sent until `end` (monotonic seconds); return what waits until then at most.

        A backend that hung or refused when it was asked last is waited for in proportion to the run.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return lambda: None
        if self._hopeless:
            now = time.monotonic()
            end = min(end, now + max(_END_LEAST_S, _END_SHARE * (now - self._began)))
        self._end = end
        self._closing.set()
        self._wake.set()

        def wait() -> None:
            thread.join(max(0.0, end - time.monotonic()))
            late = thread.is_alive()  # before it is reported what went wrong: it may end meanwhile, with an error
            self._report_failure()
            if late:
                self._once("failure", f"{self._store} did not answer in time; the next run sends what is left")
            else:
                self._end = float("inf")  # who asks later has all the time again

        return wait

    def _run(self) -> None:
        while not self._closing.wait(self._gather_s):
            if time.monotonic() >= self._next_try:
                self.attempt()
            pause = max(INTERVAL_S, self._next_try - time.monotonic())
            if pause > INTERVAL_S:
                self._closing.wait(pause)  # an event does not make a dead backend live
            else:
                self._wake.wait(pause)
                self._wake.clear()
        self.attempt()
        if (known := self.exporter) is not None:
            known.client.close()

    def _known_url(self) -> str | None:
        try:
            return self._base_url() or None
        except InstallError:
            return None  # the provider does not know it yet; what is wrong with it is the steps' business

    def _connected(self) -> AnyExporter:
        if (known := self.exporter) is not None:  # once, as who fails beside this one resets it
            return known
        url = self._base_url()
        if not url:
            raise StoreError(FailureKind.NO_ANSWER, f"{self._store} is not there yet")
        exporter = self._make(url)
        exporter.client.timeouts = self.timeouts
        # The port may be another program's by the time of a later connection.
        exporter.client.is_theirs = lambda: self._known_url() == url
        try:
            exporter.connect()
        except Exception:
            exporter.client.close()
            raise
        self.exporter = exporter
        return exporter

    @property
    def _hopeless(self) -> bool:
        """Whether the backend hung or refused when it was asked last: another try is hardly worth waiting for."""
        return self._error is not None and self._error.kind in {FailureKind.TOO_SLOW, FailureKind.REFUSES}

    def _failed(self, error: StoreError) -> None:
        """Leave the backend alone for a while, longer each time."""
        failed, self.exporter = self.exporter, None  # it is made again: the backend may have lost its data meanwhile
        if failed is not None:
            failed.client.close()
        if self._hopeless and self._closing.is_set() and error.kind is FailureKind.TOO_SLOW:
            return  # it was cut short, and what it said before says more
        self._error = error
        self._failures += 1
        longest = _LONGEST_REFUSED_PAUSE_S if error.kind is FailureKind.NO_ANSWER else _LONGEST_PAUSE_S
        pause = min(longest, 0.5 * 2 ** min(self._failures, 10))
        self._next_try = time.monotonic() + max(pause, min(error.retry_after_s, _LONGEST_ASKED_PAUSE_S))

    def _report_failure(self) -> None:
        if error := self._error:
            text = f"{self._store} {error.kind} ({error.evidence}); what it lacks is sent when it does"
            self._once("failure", f"{text}: {error.hint}" if error.hint else text)

    def report_losses(self, losses: Sequence[Loss]) -> None:
        if losses:
            count = sum(loss.count for loss in losses)
            self._once("loss", f"{self._store} refused {count} {self._items} for good, {losses[0].reason}")

    def _once(self, kind: str, text: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self._report(text)
