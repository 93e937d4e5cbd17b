"""What the worker of a backend reports, and in what order it lets go of a backend that failed."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

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


class ClosingClient(Client):
    """Notes how often it is closed, and whether somebody else could use the backend meanwhile."""

    def __init__(self) -> None:
        super().__init__(URL)
        self.worker: ExportWorker[Any] | None = None
        self.closed: list[bool] = []

    def close(self) -> None:
        super().close()
        assert self.worker is not None
        self.closed.append(self.worker._in_use.locked())


class Exporting:
    """An exporter whose connection succeeds, unless an error is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.client, self.error = ClosingClient(), error

    def connect(self) -> None:
        if self.error:
            raise self.error


def worker_of(exporter: Exporting) -> ExportWorker[Any]:
    worker: ExportWorker[Any] = ExportWorker(
        lambda: URL, lambda _: exporter, lambda _: None, "the metrics store", "samples"
    )
    exporter.client.worker = worker
    return worker


def test_who_fails_lets_go_of_the_backend_before_the_next_may_use_it() -> None:
    exporter = Exporting()
    worker = worker_of(exporter)
    with pytest.raises(StoreError), worker.backend():
        raise StoreError(FailureKind.NO_ANSWER, "gone")
    assert exporter.client.closed == [True]
    assert worker.exporter is None


@pytest.mark.parametrize("error", [StoreError(FailureKind.BUSY, "later"), OSError("the journal cannot be read")])
def test_whatever_ends_a_connection_closes_it(error: Exception) -> None:
    exporter = Exporting(error)
    worker = worker_of(exporter)
    worker.attempt()
    assert exporter.client.closed == [True]
    assert worker.exporter is None
