"""One backend's way through a run: a thread that ships to it, beside the run and never in its way.

Importing this costs next to nothing; what talks HTTP and protobuf is imported when there is a backend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from contextcore_install.core.errors import InstallError
from contextcore_install.telemetry.failure_reporter import FailureReporter

if TYPE_CHECKING:
    from contextcore_install.telemetry.exporters.client import StoreError, Timeouts
    from contextcore_install.telemetry.exporters.exporter import Exporter, Loss

INTERVAL_S = 1.0
"""How often the journal is looked at when nothing nudges."""

GATHER_S = 0.2
"""How long events are gathered before they are sent, at least."""

AnyExporter = TypeVar("AnyExporter", bound="Exporter[Any]")

_SHARE, _LEAST_S = 0.005, 0.1
"""How long the end waits for a backend that was of no use before: a share of the run, so many seconds at least."""


class ExportWorker(Generic[AnyExporter]):
    """Ships to one backend from `start` until `finish`; there is no queue, as the journal and a cursor say it all.

    `base_url` returns the backend's URL, or None while there is none; `make` makes the link to one; `gather_s` is how
    long events are gathered.
    """

    def __init__(
        self,
        base_url: Callable[[], str | None],
        make: Callable[[str], AnyExporter],
        complaints: FailureReporter,
        gather_s: float = GATHER_S,
    ) -> None:
        self._base_url = base_url
        self._make = make
        self._complaints = complaints
        self._gather_s = gather_s
        self._link: AnyExporter | None = None
        self._using = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._end = float("inf")

    # Used by whoever asks

    @contextmanager
    def backend(self) -> Iterator[AnyExporter]:
        """Within the block, have the link to oneself; raises StoreError when the backend is of no use."""
        from contextcore_install.telemetry.exporters.client import StoreError

        try:
            with self._using:
                yield self._connected()
                self._let_go()
        except StoreError as trouble:
            self._note(trouble)
            raise

    def ship(self, link: AnyExporter) -> int:
        """Send everything and return the number of items; raises StoreError."""
        sent, more = 0, True
        losses: list[Loss] = []
        while more:
            delivery = link.deliver(self.patience)
            sent += delivery.sent
            losses += [delivery.lost] if delivery.lost else []
            more = delivery.more and time.monotonic() < self._end
        if self._closing.is_set():
            link.save()
        self._complaints.recovered()
        self._complaints.refused(losses)
        return sent

    def lost(self, loss: Loss) -> None:
        """Report what the backend took and does not keep."""
        self._complaints.refused([loss])

    def patience(self) -> Timeouts:
        """Return how long the backend is waited for now."""
        from contextcore_install.telemetry.exporters.client import Timeouts

        return Timeouts().within(self._end - time.monotonic())

    @property
    def link(self) -> AnyExporter | None:
        """The link, where the backend was found and has not failed since."""
        return self._link if self._link is not None and self._link.connected else None

    @property
    def alive(self) -> bool:
        """Whether the thread has been started, and not been told to end."""
        return self._thread is not None

    def attempt(self) -> None:
        """Send what is there. Nothing that goes wrong may end the thread or reach the run."""
        left = self._end - time.monotonic()
        if left <= 0 or not self._using.acquire(timeout=min(60.0, left)):
            return
        try:
            if self._has_backend():
                self.ship(self._connected())
        except Exception as error:  # noqa: BLE001 - telemetry never fails a run
            self._failed(error)
        finally:
            self._using.release()

    # While a run lives

    def start(self) -> None:
        """Begin to ship in a thread of its own."""
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Take note that there is something to send."""
        self._wake.set()

    def finish(self, end: float) -> Callable[[], None]:
        """Have what is left sent until `end` (monotonic seconds); return what waits until then at most.

        One that hung or refused when it was asked last is waited for in proportion to the run.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return lambda: None
        if self._complaints.hopeless:
            now = time.monotonic()
            end = min(end, now + max(_LEAST_S, _SHARE * (now - self._began)))
        self._end = end
        self._closing.set()
        self._wake.set()

        def wait() -> None:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                self._complaints.told_unfinished()
            else:
                self._end = float("inf")  # who asks later has all the time again
                self._complaints.told_at_the_end()

        return wait

    def _run(self) -> None:
        while not self._closing.wait(self._gather_s):
            if time.monotonic() >= self._complaints.next_try:
                self.attempt()
            pause = max(INTERVAL_S, self._complaints.next_try - time.monotonic())
            if pause > INTERVAL_S:
                self._closing.wait(pause)  # a nudge does not make a dead backend live
            else:
                self._wake.wait(pause)
                self._wake.clear()
        self.attempt()
        if self._link is not None:
            self._link.client.close()

    def _has_backend(self) -> bool:
        return self.link is not None or self._known_url() is not None

    def _known_url(self) -> str | None:
        try:
            return self._base_url() or None
        except InstallError:
            return None  # the provider cannot tell yet; what is wrong with it is the steps' business

    def _leads_to(self, url: str) -> bool:
        """Tell whether the backend is still reached at a URL: its port may be another program's by now."""
        return self._known_url() == url

    def _connected(self) -> AnyExporter:
        """Return a link to the backend that is the right one now; raises StoreError."""
        if self.link is not None:
            return self.link
        from contextcore_install.telemetry.exporters.client import FailureKind, StoreError

        url = self._base_url()
        if not url:
            raise StoreError(FailureKind.NO_ANSWER, f"{self._complaints.store} is not there yet")
        if self._link is None or self._link.client.base_url != url.rstrip("/"):
            self._link = self._make(url)
            self._link.client.is_theirs = lambda: self._leads_to(url)
        self._link.connect(self.patience())
        return self._link

    def _let_go(self) -> None:
        """Close the connection where no thread of ours is there to do it later."""
        if self._thread is None and self._link is not None:
            self._link.client.close()

    def _failed(self, error: Exception) -> None:
        from contextcore_install.telemetry.exporters.client import FailureKind, StoreError

        if not isinstance(error, StoreError):
            error = StoreError(FailureKind.REFUSES, f"{type(error).__name__}: {error}")
        self._note(error)
        self._complaints.told_now()

    def _note(self, trouble: StoreError) -> None:
        if self._link is not None:
            self._link.disconnect()
        cut_short = self._closing.is_set() and trouble.kind.name == "TOO_SLOW"
        if not (cut_short and self._complaints.hopeless):  # else what it said before says more
            self._complaints.note(trouble)
