"""What a backend's way through a run reports at its end."""

from __future__ import annotations

import threading
import time
from typing import Any

from contextcore_install.telemetry.export_worker import ExportWorker
from contextcore_install.telemetry.exporters.client import Client, FailureKind, StoreError, Timeouts
from contextcore_install.telemetry.failure_reporter import FailureReporter

URL = "http://127.0.0.1:9"


class Refusing:
    """A link to a store that refuses, and that is too slow to say so again when little time is left."""

    connected = False

    def __init__(self) -> None:
        self.client = Client(URL)
        self.asked = threading.Event()

    def connect(self, patience: Timeouts) -> None:
        trouble = FailureKind.TOO_SLOW if self.asked.is_set() else FailureKind.REFUSES
        self.asked.set()
        raise StoreError(trouble, "Forbidden" if trouble is FailureKind.REFUSES else "no full answer within 0.1 s")

    def disconnect(self) -> None:
        pass


def test_a_store_that_refused_is_not_called_slow_for_the_little_time_it_gets_at_the_end() -> None:
    said: list[str] = []
    link: Any = Refusing()
    complaints = FailureReporter(said.append, "the metrics store", "samples")
    lane: ExportWorker[Any] = ExportWorker(lambda: URL, lambda _: link, complaints, gather_s=0.01)
    lane.start()
    assert link.asked.wait(60)
    lane.finish(time.monotonic() + 60)()
    [text] = said
    assert "refuses (Forbidden)" in text
