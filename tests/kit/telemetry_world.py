"""An installation's telemetry, with everything around it at hand, and samples in its store that are not its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.folds.metrics import MetricsFold, Sample
from contextcore_install.telemetry.shipper import Shipper
from kit.installation import Installation
from kit.stores import MINUTE_US, TIMEOUTS, MemoryCursors, MemoryJournal, Store, wait_until

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def now_us() -> int:
    return time.time_ns() // 1000


class TelemetryWorld:
    """An installation whose journal, cursors and store a test decides on; `url` None is no store yet."""

    def __init__(self, url: str | None, *, began_us: int | None = None) -> None:
        self.url = url
        self.cluster = f"c-{uuid.uuid4().hex[:8]}"
        self.journal = MemoryJournal(now_us() - 30 * MINUTE_US if began_us is None else began_us)
        self.cursors = MemoryCursors()
        self.said: list[str] = []

    def shipper(self) -> Shipper:
        return Shipper(self.journal, self.cursors, self.cluster, lambda: self.url, self.said.append)

    def ship(self) -> Shipper:
        """Do as a process does whose run ends at once."""
        shipper = self.shipper()
        shipper.start()
        shipper.close(60.0)
        return shipper

    def expected(self) -> list[Sample]:
        fold = MetricsFold(self.cluster)
        return [sample for event in self.journal.events for sample in fold.take(event)]


def assert_shows_exactly(store: Store, world: TelemetryWorld, samples: list[Sample] | None = None) -> None:
    """What a query shows is what the events give: each sample once, and nothing else."""
    samples = world.expected() if samples is None else samples
    expected: dict[object, dict[int, float]] = {}
    for sample in samples:
        expected.setdefault(sample.series, {})[sample.at_ms] = sample.value
    # VictoriaMetrics answers a flush at once if its own, which nothing waits for, has just taken what was buffered.
    end = time.monotonic() + 10.0
    while (shown := store.shown(world.cluster)) != expected and time.monotonic() < end:
        time.sleep(0.1)
    assert shown == expected, _difference(shown, expected)
    assert store.count(world.cluster) == len(samples)


def _difference(shown: Mapping[Any, Mapping[int, float]], expected: Mapping[Any, Mapping[int, float]]) -> str:
    """Say of each series how many samples are missing, superfluous and other than expected."""
    lines = []
    for series in {**expected, **shown}:
        has, should = shown.get(series, {}), expected.get(series, {})
        missing, more = sorted(should.keys() - has), sorted(has.keys() - should)
        other = [at for at in has.keys() & should.keys() if has[at] != should[at]]
        if missing or more or other:
            counts = f"of {len(should)}, {len(missing)} missing, {len(more)} more, {len(other)} with another value"
            lines.append(f"{series}: {counts}; for example {[*missing[:2], *more[:2], *other[:2]]}")
    return "\n".join(lines)


class ForeignSamples:
    """The installation's metrics store, with samples that are not the program's own."""

    def __init__(self, place: Installation) -> None:
        self._client = Client(f"http://127.0.0.1:{place.ports['mimir']}", lambda: TIMEOUTS)
        self._backend = probe(self._client)

    def write(self, value: float) -> None:
        """Put a sample there, and wait until the store shows it."""
        sample = Sample("tests_written", (("cluster", "test"),), value, int(time.time() * 1000))
        assert not self._backend.send([sample])
        wait_until(lambda: value in self.values(), "what was written is never shown")

    def values(self) -> list[float]:
        self._backend.show_recent()
        soon_ms = int(time.time() * 1000) + 5000
        found = self._backend.query("tests_written[2h]", soon_ms)
        self._client.close()
        return [float(value) for series in found for _, value in series["values"]]
