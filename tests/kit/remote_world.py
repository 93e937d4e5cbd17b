"""An object of a cluster in memory, which answers as an API server does and fails when it is told to; and its clock."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import CONFLICT, GONE, Remote, StoredObject


def refusal(code: str) -> InstallError:
    """Return the error of a cluster that does not do what it is asked."""
    return InstallError(code, f"the cluster says {code}", retryable=code == "api-unreachable")


class FakeSlot:
    """A Slot. `failures` are raised once each, by whatever is asked next; `lose_answers` are writes whose answer is."""

    def __init__(self) -> None:
        self.kept: StoredObject | None = None
        self.failures: list[InstallError] = []
        self.lose_answers = 0
        self.writes = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._count = 0

    def read(self) -> StoredObject | None:
        self._fail()
        return self.kept

    def write(self, content: Mapping[str, Any], version: str) -> str:
        self.gate.wait(30)
        self._fail()
        with self._lock:
            there = self.kept.version if self.kept else ""
            if version and not there:
                raise refusal(GONE)
            if version != there:
                raise refusal(CONFLICT)
            self.put(content)
            self.writes += 1
            if self.lose_answers:
                self.lose_answers -= 1
                raise refusal("api-unreachable")
            assert self.kept
            return self.kept.version

    def remove(self) -> None:
        self._fail()
        self.kept = None

    def put(self, content: Mapping[str, Any]) -> None:
        """Have it changed by somebody else."""
        self._count += 1
        self.kept = StoredObject(dict(content), str(self._count))

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def fake_remote() -> tuple[Remote, FakeSlot, FakeSlot]:
    """Return a cluster's two objects: as the port, the records, and the lease."""
    records, lease = FakeSlot(), FakeSlot()
    return Remote("ConfigMap of the lab", records, lease), records, lease


class SleepingClock:
    """Seconds that a test lets pass; what `pause` waits for passes at once."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
