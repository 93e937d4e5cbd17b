"""Checks that were begun before their turn: what they find counts once, if all is well and nothing was done since."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.plan import Plan, RetryPolicy
from contextcore_install.runtime import checks
from contextcore_install.runtime.checks import COUNTS_S, ChecksAhead
from kit.fakes import Told

FINE = CheckResult("fine")
WRONG = CheckResult(findings=(Finding("wrong", "something is wrong"),))


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def now_us(self) -> int:
        raise NotImplementedError


class Step:
    """Notes its checks; `look` is what one does."""

    title = ""
    needs: tuple[str, ...] = ()
    retry, timeout_s = RetryPolicy(), 60.0

    def __init__(self, name: str, look: Callable[[StepContext], CheckResult] = lambda _: FINE) -> None:
        self.id, self.checks, self.applied, self._look = name, 0, False, look

    def check(self, ctx: StepContext) -> CheckResult:
        self.checks += 1
        return self._look(ctx)

    def apply(self, ctx: StepContext) -> None:
        self.applied = True

    def undo(self, ctx: StepContext) -> None:
        raise NotImplementedError

    def by_hand(self) -> list[str]:
        return []


def begun(*steps: Step, clock: Clock | None = None) -> Plan:
    plan = Plan(steps)
    return ChecksAhead(plan, clock or Clock()).guard(plan)


def test_all_wait_at_the_same_time_and_what_they_find_counts_once() -> None:
    together = threading.Barrier(2, timeout=10)

    def wait(_: StepContext) -> CheckResult:
        together.wait()
        return FINE

    first, second = Step("first", wait), Step("second", wait)
    plan = begun(first, second)
    assert [step.check(Told().ctx) for step in plan] == [FINE, FINE]
    assert (first.checks, second.checks) == (1, 1)
    together.reset()
    threading.Thread(target=together.wait).start()
    assert plan["first"].check(Told().ctx) is FINE
    assert first.checks == 2


def refused(_: StepContext) -> CheckResult:
    raise InstallError("refused", "it cannot be asked")


def broken(_: StepContext) -> CheckResult:
    raise ValueError


@pytest.mark.parametrize("look", [lambda _: WRONG, refused, broken])
def test_what_is_not_as_it_should_be_is_looked_at_again(look: Callable[[StepContext], CheckResult]) -> None:
    step = Step("step", look)
    plan = begun(step)
    try:
        assert plan["step"].check(Told().ctx) is WRONG
    except (InstallError, ValueError):
        assert look in (refused, broken)
    assert step.checks == 2


def test_what_was_found_before_something_was_applied_does_not_count() -> None:
    first, second = Step("first"), Step("second")
    plan = begun(first, second)
    plan["first"].apply(Told().ctx)
    assert first.applied
    assert plan["second"].check(Told().ctx) is FINE
    assert second.checks == 2


def test_what_was_found_long_ago_does_not_count() -> None:
    step, clock = Step("step"), Clock()
    plan = begun(step, clock=clock)
    for thread in threading.enumerate():
        if thread.name == "ahead: step":
            thread.join()
    clock.now += COUNTS_S + 0.1
    assert plan["step"].check(Told().ctx) is FINE
    assert step.checks == 2


def test_a_run_that_ends_ends_them() -> None:
    def wait(ctx: StepContext) -> CheckResult:
        ctx.wait(60)
        return FINE

    step, told = Step("step", wait), Told()
    ahead = ChecksAhead(Plan([step]), Clock())
    told.token.cancel("Ctrl-C")
    with pytest.raises(CancelledError):
        ahead.guard(Plan([step]))["step"].check(told.ctx)
    ahead.close()


def test_one_that_does_not_end_holds_up_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TO_END_S", 0.1)
    over = threading.Event()

    def hang(_: StepContext) -> CheckResult:
        over.wait(30)
        return FINE

    ahead = ChecksAhead(Plan([Step("step", hang)]), Clock())
    ending = threading.Thread(target=ahead.close, daemon=True)
    ending.start()
    ending.join(10)
    hung = ending.is_alive()
    over.set()
    assert not hung
