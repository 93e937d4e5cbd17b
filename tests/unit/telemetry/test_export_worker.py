"""What the worker of a backend reports at the end of a run."""

from __future__ import annotations

import threading
import time
from typing import Any

from contextcore_install.telemetry.export_worker import ExportWorker
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import FailureKind, StoreError

URL = "http://127.0.0.1:9"


class Refusing:
    """An exporter to a store that refuses, and that is too slow to say so again when little time is left."""

    def __init__(self) -> None:
        self.client = Client(URL)
        self.asked = threading.Event()

    def connect(self) -> None:
        kind = FailureKind.TOO_SLOW if self.asked.is_set() else FailureKind.REFUSES
        self.asked.set()
        raise StoreError(kind, "Forbidden" if kind is FailureKind.REFUSES else "no full answer within 0.1 s")


def test_a_store_that_refused_is_not_called_slow_for_the_little_time_it_gets_at_the_end() -> None:
    said: list[str] = []
    exporter: Any = Refusing()
    worker: ExportWorker[Any] = ExportWorker(
        lambda: URL, lambda _: exporter, said.append, "the metrics store", "samples", gather_s=0.01
    )
    worker.start()
    assert exporter.asked.wait(60)
    worker.finish(time.monotonic() + 60)()
    [text] = said
    assert "refuses (Forbidden)" in text
