"""Samples in an installation's metrics store that are not the program's own."""

from __future__ import annotations

import time

from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.folds.metrics import Sample
from kit.installation import Installation
from kit.stores import PATIENCE, wait_until


class Store:
    """The installation's metrics store, with samples that are not the program's own."""

    def __init__(self, place: Installation) -> None:
        self._client = Client(f"http://127.0.0.1:{place.ports['mimir']}")
        self._backend = probe(self._client, PATIENCE)

    def write(self, value: float) -> None:
        """Put a sample there, and wait until the store shows it."""
        sample = Sample("tests_written", (("cluster", "test"),), value, int(time.time() * 1000))
        assert not self._backend.send([sample], PATIENCE)
        wait_until(lambda: value in self.values(), "what was written is never shown")

    def values(self) -> list[float]:
        self._backend.show_recent(PATIENCE)
        soon_ms = int(time.time() * 1000) + 5000
        found = self._backend.query("tests_written[2h]", soon_ms, PATIENCE)
        return [float(value) for series in found for _, value in series["values"]]
