"""A machine that sleeps, or a program that is stopped, in the middle of a run: by clocks of both sorts."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.suspend_aware_clock import UNSEEN_S, SuspendAwareClock
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Limits, Outcome
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State
from contextcore_install.telemetry.folds.metrics import MetricsFold
from unit.engine.test_engine import FakeStep, MemoryJournal, MemoryKeeper

NIGHT_S = 8 * 3600.0
LIMIT_S = NIGHT_S / 4
SPEED = 100
"""How much faster the machine's time passes, so that nobody waits for heartbeats."""


class Machine:
    """A clock that jumps when the machine has slept: the monotonic one too, where that counts sleep."""

    def __init__(self, *, counts_sleep: bool) -> None:
        self._counts_sleep = counts_sleep
        self._began = time.monotonic()
        self._slept_s = 0.0

    def now_us(self) -> int:
        return 1_767_261_600_000_000 + int((self._ran_s() + self._slept_s) * 1_000_000)

    def monotonic(self) -> float:
        return self._ran_s() + (self._slept_s if self._counts_sleep else 0.0)

    def sleep(self) -> None:
        self._slept_s += NIGHT_S

    def _ran_s(self) -> float:
        return (time.monotonic() - self._began) * SPEED


def run_through_a_night(machine: Machine) -> list[Event]:
    """Return the events of a run whose machine sleeps in the middle of a step that goes on for two heartbeats more."""
    journal = MemoryJournal()

    def beats() -> int:
        return sum(event.kind is Kind.HEARTBEAT for event in list(journal.events))

    def work(ctx: StepContext) -> None:
        before = beats()
        machine.sleep()
        while beats() < before + 2:
            ctx.wait(0.01)
        assert ctx.remaining_s > 0

    recorder = Recorder(journal, machine, MemoryKeeper(State("test", steps={})), [], run_id="r")
    plan = Plan([FakeStep("one", work=work, timeout_s=LIMIT_S), FakeStep("two", ["one"], timeout_s=LIMIT_S)])
    limits = Limits(overall_s=LIMIT_S, tick_s=0.02)
    result = Engine(plan, recorder, machine, Workers(), lambda: 0.5, limits).run()
    assert result.outcome is Outcome.SUCCEEDED, result
    return journal.events


@pytest.mark.parametrize("counts_sleep", [False, True])
def test_no_limit_is_over_because_of_a_sleep_and_heartbeats_go_on(*, counts_sleep: bool) -> None:
    machine = Machine(counts_sleep=counts_sleep)
    events = run_through_a_night(machine)
    took = [event.data["duration_seconds"] for event in events if event.kind is Kind.STEP_COMPLETED]
    assert len(took) == 2
    assert all(seconds < LIMIT_S for seconds in took), "a sleep is no work"


@pytest.mark.parametrize("counts_sleep", [False, True])
def test_what_is_recorded_after_a_sleep_is_dated_after_it_and_never_ahead(*, counts_sleep: bool) -> None:
    machine = Machine(counts_sleep=counts_sleep)
    events = run_through_a_night(machine)
    gaps = [later.at_us - earlier.at_us for earlier, later in pairwise(events)]
    assert min(gaps) > 0
    assert max(gaps) >= NIGHT_S * 1_000_000
    fold = MetricsFold("test")
    dated_ms = [sample.at_ms for event in events for sample in fold.take(event)]
    assert dated_ms
    assert max(dated_ms) * 1000 <= machine.now_us()


class ByHand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_us(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.seconds


def test_only_what_passes_without_a_look_is_left_out() -> None:
    inner = ByHand()
    clock = SuspendAwareClock(inner)
    for _ in range(100):
        inner.seconds += UNSEEN_S
        clock.monotonic()
    assert clock.monotonic() == 1000.0 + 100 * UNSEEN_S
    inner.seconds += NIGHT_S
    assert clock.monotonic() == 1000.0 + 100 * UNSEEN_S
    inner.seconds += 1
    assert clock.monotonic() == 1000.0 + 100 * UNSEEN_S + 1
