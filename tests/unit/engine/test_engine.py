"""The engine: what it runs, in which order, and that it records before it acts."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Limits, Outcome, RunResult
from contextcore_install.engine.plan import ONCE, Plan, RetryPolicy
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State
from contextcore_install.system.clock import SystemClock

QUICK = RetryPolicy(attempts=3, base_s=0.001, floor_s=0.001)
WRONG = CheckResult(findings=(Finding("not-there", "it is not there"),))


class FakeStep:
    """A step whose apply makes its check succeed, unless told otherwise."""

    def __init__(
        self,
        step_id: str,
        needs: Sequence[str] = (),
        *,
        work: Callable[[StepContext], None] = lambda ctx: None,
        done: bool = False,
        heals: bool = True,
        retry: RetryPolicy = ONCE,
        timeout_s: float = 30.0,
    ) -> None:
        self.id = self.title = step_id
        self.needs = tuple(needs)
        self.retry = retry
        self.timeout_s = timeout_s
        self.applied = 0
        self._work, self._done, self._heals = work, done, heals

    def check(self, ctx: StepContext) -> CheckResult:
        return CheckResult("fine") if self._done else WRONG

    def apply(self, ctx: StepContext) -> None:
        self.applied += 1
        self._work(ctx)
        self._done = self._heals

    def undo(self, ctx: StepContext) -> None:
        self._done = False

    def by_hand(self) -> Sequence[str]:
        return []


class MemoryJournal:
    """A journal that remembers what was durable when; it can fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.durable = 0
        self.syncs = 0
        self.fails_after = 10**9

    def append(self, event: Event) -> None:
        if len(self.events) >= self.fails_after:
            raise InstallError("disk-full", "the disk is full")
        self.events.append(event)

    def sync(self) -> None:
        self.durable = len(self.events)
        self.syncs += 1

    def durable_kinds(self, step: str) -> list[Kind]:
        return [event.kind for event in self.events[: self.durable] if event.step == step]


class MemoryKeeper:
    """The state file's place taken by an attribute."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.dirty = False

    def handle(self, event: Event) -> None:
        self.state.apply(event)
        self.dirty = True

    def save(self) -> None:
        self.dirty = False


class StandingClock(SystemClock):
    """A clock by which no time limit is ever reached."""

    def monotonic(self) -> float:
        return 0.0


class Bench:
    """An engine over fakes."""

    def __init__(
        self,
        steps: Sequence[FakeStep],
        limits: Limits | None = None,
        *,
        clock: Clock | None = None,
        confirm: Callable[[StepContext, str], None] = lambda *_: None,
    ) -> None:
        self.journal = MemoryJournal()
        self.state = State("test", steps={})
        clock = clock or SystemClock()
        recorder = Recorder(self.journal, clock, MemoryKeeper(self.state), [], run_id="run")
        self.engine = Engine(Plan(steps), recorder, clock, Workers(), lambda: 0.5, limits, confirm)

    def run(self) -> RunResult:
        return self.engine.run()

    def kinds(self, step: str) -> list[Kind]:
        return [event.kind for event in self.journal.events if event.step == step]


def test_a_step_with_nothing_to_do_is_completed_and_not_applied() -> None:
    step = FakeStep("one", done=True)
    bench = Bench([step])
    assert bench.run().outcome is Outcome.SUCCEEDED
    assert step.applied == 0
    assert bench.journal.events[-1].data["already"] is True
    assert bench.state.steps["one"].status == "completed"


def test_steps_wait_for_what_they_need_and_for_nothing_else() -> None:
    together = threading.Barrier(2)
    left = FakeStep("left", ["root"], work=lambda ctx: _meet(together))
    right = FakeStep("right", ["root"], work=lambda ctx: _meet(together))
    order: list[str] = []
    root = FakeStep("root", work=lambda ctx: order.append("root"))
    last = FakeStep("last", ["left", "right"], work=lambda ctx: order.append("last"))
    assert Bench([root, left, right, last]).run().outcome is Outcome.SUCCEEDED
    assert order == ["root", "last"]


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait(timeout=60)


def test_the_intent_is_durable_before_the_work_begins_and_the_outcome_before_the_next_step() -> None:
    seen: dict[str, list[Kind]] = {}
    first = FakeStep("first", work=lambda ctx: seen.update(first=bench.journal.durable_kinds("first")))
    second = FakeStep("second", ["first"], work=lambda ctx: seen.update(second=bench.journal.durable_kinds("first")))
    bench = Bench([first, second])
    bench.run()
    assert Kind.STEP_STARTED in seen["first"]
    assert Kind.STEP_COMPLETED in seen["second"]


def test_a_step_acts_only_when_that_is_confirmed_and_checks_without_asking() -> None:
    def confirm(ctx: StepContext, step: str) -> None:
        if step == "second":
            raise InstallError("locked-elsewhere", "another machine is at work")

    done, first, second = FakeStep("done", done=True), FakeStep("first"), FakeStep("second", ["first"])
    result = Bench([done, first, second], confirm=confirm).run()
    assert (first.applied, second.applied) == (1, 0)
    assert {step: error.code for step, error in result.errors.items()} == {"second": "locked-elsewhere"}


def test_the_outcome_of_a_step_and_the_intent_of_the_next_share_a_sync() -> None:
    bench = Bench([FakeStep("a"), FakeStep("b", ["a"]), FakeStep("c", ["b"])], clock=StandingClock())
    bench.run()
    assert bench.journal.syncs == len(["a begins", "a ends, b begins", "b ends, c begins", "c ends"])
    assert bench.journal.durable == len(bench.journal.events)


def test_an_outcome_is_durable_soon_however_long_the_next_check_takes() -> None:
    class Patient(FakeStep):
        def check(self, ctx: StepContext) -> CheckResult:
            while Kind.STEP_COMPLETED not in bench.journal.durable_kinds("first"):
                ctx.wait(0.001)
            return CheckResult("fine")

    bench = Bench([FakeStep("first"), Patient("second", ["first"], timeout_s=60)])
    assert bench.run().outcome is Outcome.SUCCEEDED


def test_after_a_failure_what_depends_on_it_is_not_run_and_the_rest_is() -> None:
    def fail(ctx: StepContext) -> None:
        raise InstallError("broken", "it broke", hint="mend it")

    bad = FakeStep("bad", work=fail)
    after, aside = FakeStep("after", ["bad"]), FakeStep("aside")
    bench = Bench([bad, after, aside])
    result = bench.run()
    assert result.outcome is Outcome.FAILED
    assert result.errors["bad"].hint == "mend it"
    assert (after.applied, aside.applied) == (0, 1)
    assert bench.state.steps["bad"].error == {"code": "broken", "message": "it broke", "hint": "mend it"}


def test_a_retryable_failure_is_tried_again_within_its_policy() -> None:
    attempts: list[int] = []

    def fail_twice(ctx: StepContext) -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise InstallError("flaky", "not yet", retryable=True)

    bench = Bench([FakeStep("flaky", work=fail_twice, retry=QUICK)])
    assert bench.run().outcome is Outcome.SUCCEEDED
    assert len(attempts) == 3
    assert bench.state.steps["flaky"].attempts == 3
    assert bench.kinds("flaky").count(Kind.STEP_RETRYING) == 2


def test_a_check_that_fails_for_the_moment_is_made_again() -> None:
    class Unsure(FakeStep):
        asked = 0

        def check(self, ctx: StepContext) -> CheckResult:
            self.asked += 1
            if self.asked == 1:
                raise InstallError("hiccup", "nobody answered", retryable=True)
            return CheckResult("fine")

    step = Unsure("unsure", retry=QUICK)
    assert Bench([step]).run().outcome is Outcome.SUCCEEDED
    assert (step.asked, step.applied) == (2, 0)


def test_a_failure_that_trying_cannot_help_is_not_tried_again() -> None:
    def fail(ctx: StepContext) -> None:
        raise InstallError("final", "never")

    step = FakeStep("final", work=fail, retry=QUICK)
    assert Bench([step]).run().outcome is Outcome.FAILED
    assert step.applied == 1


def test_an_apply_that_changes_nothing_has_failed() -> None:
    result = Bench([FakeStep("idle", heals=False)]).run()
    assert result.errors["idle"].code == "not-there"


def test_a_step_out_of_time_is_told_to_end_and_says_what_it_was_at() -> None:
    def dawdle(ctx: StepContext) -> None:
        ctx.activity("waiting for paint to dry")
        ctx.wait(30)

    began = time.monotonic()
    result = Bench([FakeStep("slow", work=dawdle, timeout_s=0.2)]).run()
    assert time.monotonic() - began < 20
    assert result.errors["slow"].code == "timeout"
    assert "paint" in result.errors["slow"].evidence


def test_work_that_does_not_listen_is_given_up() -> None:
    release = threading.Event()
    step = FakeStep("deaf", work=lambda ctx: _wait(release), timeout_s=0.1)
    began = time.monotonic()
    result = Bench([step], Limits(grace_s=0.1)).run()
    release.set()
    assert time.monotonic() - began < 20
    assert result.errors["deaf"].code == "timeout"


def _wait(event: threading.Event) -> None:
    event.wait(timeout=30)


def test_an_interrupted_step_stays_in_progress() -> None:
    def work(ctx: StepContext) -> None:
        threading.Timer(0.05, lambda: bench.engine.interrupt("Ctrl-C")).start()
        ctx.wait(30)

    later = FakeStep("later", ["long"])
    bench = Bench([FakeStep("long", work=work), later])
    result = bench.run()
    assert (result.outcome, result.reason) == (Outcome.INTERRUPTED, "Ctrl-C")
    assert bench.state.steps["long"].status == "in_progress"
    assert later.applied == 0


def test_what_outlasts_its_step_is_told_when_the_run_ends() -> None:
    told: list[str] = []

    def begin(ctx: StepContext) -> None:
        ctx.at_end_of_run(lambda: told.append("the run has ended"))

    def wait(ctx: StepContext) -> None:
        assert told == [], "its own step is over, and not the run"

    steps = [FakeStep("a", work=begin), FakeStep("b", ["a"], work=wait)]
    assert Bench(steps).run().outcome is Outcome.SUCCEEDED
    assert told == ["the run has ended"]


def test_an_interruption_during_a_pause_ends_it() -> None:
    def fail(ctx: StepContext) -> None:
        raise InstallError("flaky", "not yet", retryable=True)

    bench = Bench([FakeStep("flaky", work=fail, retry=RetryPolicy(base_s=60, cap_s=60), timeout_s=300)])
    threading.Timer(0.1, lambda: bench.engine.interrupt("Ctrl-C")).start()
    assert bench.run().outcome is Outcome.INTERRUPTED


def test_the_overall_limit_ends_the_run() -> None:
    result = Bench([FakeStep("long", work=lambda ctx: ctx.wait(30))], Limits(overall_s=0.1)).run()
    assert result.errors["long"].code == "timeout"


def test_a_journal_that_cannot_be_kept_ends_the_run_and_its_work() -> None:
    ended = threading.Event()

    def work(ctx: StepContext) -> None:
        with ctx.on_cancel(ended.set):
            ctx.notice("one too many")
            ctx.wait(30)

    bench = Bench([FakeStep("one", work=work)])
    bench.journal.fails_after = 2
    with pytest.raises(InstallError, match="disk is full"):
        bench.run()
    assert ended.wait(timeout=60)


def test_a_bug_in_a_step_is_its_failure_and_shows_where() -> None:
    def stumble(ctx: StepContext) -> None:
        raise ZeroDivisionError("oops")

    result = Bench([FakeStep("buggy", work=stumble), FakeStep("other")]).run()
    assert result.errors["buggy"].code == "bug"
    assert "ZeroDivisionError" in result.errors["buggy"].evidence


def test_the_numbers_follow_each_other_and_the_times_grow() -> None:
    bench = Bench([FakeStep(f"step{number}") for number in range(50)])
    bench.run()
    events = bench.journal.events
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert all(before.at_us < after.at_us for before, after in itertools.pairwise(events))


def test_plans_that_cannot_be_ordered_are_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        Plan([FakeStep("a", ["b"]), FakeStep("b", ["a"])])
    with pytest.raises(ValueError, match="not in the plan"):
        Plan([FakeStep("a", ["nobody"])])
    with pytest.raises(ValueError, match="same id"):
        Plan([FakeStep("a"), FakeStep("a")])


def test_a_plan_can_end_early_with_all_that_its_end_needs() -> None:
    plan = Plan([FakeStep("a"), FakeStep("b", ["a"]), FakeStep("c", ["b"]), FakeStep("d")])
    assert [step.id for step in plan.until("b")] == ["a", "b"]


def test_a_step_of_a_long_plan_costs_no_more_than_one_of_a_short_plan() -> None:
    def cost(count: int) -> float:
        steps = [FakeStep(f"step{n}", [f"step{n - 1}"] if n else []) for n in range(count)]
        began = time.process_time()
        Plan(steps)
        return (time.process_time() - began) / count

    assert cost(20_000) < 10 * min(cost(200) for _ in range(5))
