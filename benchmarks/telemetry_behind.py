"""Sends a journal of so many samples to a metrics store that has none of them, and prints the seconds and those of CPU.

Arguments: the URL of the store, and the number of samples.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from pathlib import Path

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.system.clock import SystemClock
from contextcore_install.telemetry.folds.metrics import MetricsFold
from contextcore_install.telemetry.shipper import Shipper

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
SPREAD_US = 30 * 60 * 1_000_000
"""Over how long the samples are spread."""


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    clock, cluster = SystemClock(), f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="behind-", dir=FOLDER) as folder:
        path = Path(folder) / "journal.jsonl"
        made = _write(path, cluster, count, clock.now_us())
        shipper = Shipper(JournalReader(path), CursorFile(Path(folder) / "cursors.json"), cluster, lambda: url, print)
        context = Context("step", CancelToken(), lambda *_: None, clock, clock.monotonic() + 60)
        began, cpu = time.perf_counter(), time.process_time()
        sent = shipper.flush(context)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        assert sent == made >= count
        print(took, used)


def _write(path: Path, cluster: str, count: int, now_us: int) -> int:
    """Write a journal of runs until they give so many samples, and return how many those are."""
    journal, fold = JournalWriter(path), MetricsFold(cluster)
    made = number = 0
    run = 0
    while made < count:
        run += 1
        for kind, step, data in _events_of_a_run():
            number += 1
            at_us = now_us - SPREAD_US + number * (SPREAD_US // (2 * count))
            event = Event(number, at_us, f"r{run}", kind, step, data)
            journal.append(event)
            made += len(fold.take(event))
    journal.close()
    return made


def _events_of_a_run() -> list[tuple[Kind, str, dict[str, object]]]:
    events: list[tuple[Kind, str, dict[str, object]]] = [
        (Kind.RUN_STARTED, "", {"mode": "install", "version": "1", "provider": "host"})
    ]
    for step in STEP_IDS:
        events.append((Kind.STEP_INVALIDATED, step, {"reason": "changed"}))
        events.append((Kind.STEP_STARTED, step, {"attempt": 1}))
        events.append((Kind.HEARTBEAT, "", {}))
        events.append((Kind.STEP_COMPLETED, step, {"duration_seconds": 1.0, "summary": "there"}))
    events.append((Kind.RUN_FINISHED, "", {"outcome": "succeeded", "exit_code": 0, "duration_seconds": 6.0}))
    return events


if __name__ == "__main__":
    main()
