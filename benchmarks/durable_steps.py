"""Runs a plan of trivial steps, recorded on disk as every run is, and prints how many seconds it took.

Arguments: `chain` (each step needs the one before) or `wide` (no step needs another), and the number of steps.
A small plan is run many times, each in a new folder, and the median is printed.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome
from contextcore_install.engine.plan import ONCE, Plan
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.system.clock import SystemClock

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
_MISSING = CheckResult("", (Finding("missing", "not there yet"),))
_THERE = CheckResult("there")


class Trivial:
    """A step that is missing until it is applied, and does nothing besides."""

    title = "a step"
    retry = ONCE
    timeout_s = 3600.0

    def __init__(self, number: int, needs: tuple[str, ...]) -> None:
        self.id = f"step_{number}"
        self.needs = needs
        self._done = False

    def check(self, ctx: StepContext) -> CheckResult:
        return _THERE if self._done else _MISSING

    def apply(self, ctx: StepContext) -> None:
        self._done = True

    def undo(self, ctx: StepContext) -> None:
        self._done = False

    def by_hand(self) -> list[str]:
        return []


def steps(shape: str, count: int) -> list[Trivial]:
    """Return the plan's steps."""
    return [Trivial(n, (f"step_{n - 1}",) if shape == "chain" and n else ()) for n in range(count)]


def seconds(shape: str, count: int, folder: Path) -> float:
    """Return what the plan took from the engine's start until the state is saved."""
    layout = ClusterLayout(folder)
    journal, clock = JournalWriter(layout.journal), SystemClock()
    keeper = StateWriter(layout.state, State("bench", steps={}), lambda: journal.offset)
    recorder = Recorder(journal, clock, keeper, [], run_id="bench")
    plan = Plan(steps(shape, count))
    began = time.perf_counter()
    result = Engine(plan, recorder, clock, Workers(), random.random).run()
    recorder.sync()
    keeper.save()
    took = time.perf_counter() - began
    assert result.outcome is Outcome.SUCCEEDED
    return took


def median_seconds(shape: str, count: int) -> float:
    """Return the median of as many runs as make up some thousand steps."""
    taken = []
    for _ in range(max(1, 3000 // count)):
        with tempfile.TemporaryDirectory(prefix="steps-", dir=FOLDER) as folder:
            taken.append(seconds(shape, count, Path(folder)))
    return statistics.median(taken)


if __name__ == "__main__":
    print(median_seconds(sys.argv[1], int(sys.argv[2])))
