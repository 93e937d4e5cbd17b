"""Taking steps back: which, in which order, and what is on record when it is cut off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.outcome import Limits, Outcome
from contextcore_install.engine.plan import Plan, RetryPolicy
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State, StepState
from contextcore_install.engine.undoing import UndoEngine, steps_to_undo
from contextcore_install.system.clock import SystemClock


class Undone:
    """A step that notes when it is undone."""

    retry = RetryPolicy(attempts=2, base_s=0.001, floor_s=0.001)
    timeout_s = 30.0

    def __init__(
        self, step_id: str, needs: Sequence[str], order: list[str], work: Callable[[StepContext], None] = lambda _: None
    ) -> None:
        self.id = self.title = step_id
        self.needs = tuple(needs)
        self._order = order
        self._work = work

    def check(self, ctx: StepContext) -> CheckResult:
        raise AssertionError("nothing is checked")

    def apply(self, ctx: StepContext) -> None:
        raise AssertionError("nothing is applied")

    def undo(self, ctx: StepContext) -> None:
        self._order.append(self.id)
        self._work(ctx)

    def by_hand(self) -> Sequence[str]:
        return []


class Record:
    """Journal and keeper in one; what is synced is durable."""

    dirty = False

    def __init__(self) -> None:
        self.state = State("test", steps={name: StepState("completed") for name in "abcd"})
        self.events: list[Event] = []
        self.durable = 0

    def append(self, event: Event) -> None:
        self.events.append(event)

    def sync(self) -> None:
        self.durable = len(self.events)

    def handle(self, event: Event) -> None:
        self.state.apply(event)

    def save(self) -> None:
        pass

    def kinds(self, step: str) -> list[Kind]:
        return [event.kind for event in self.events[: self.durable] if event.step == step]

    def statuses(self) -> dict[str, str]:
        return {name: step.status for name, step in self.state.steps.items()}


def diamond(order: list[str], **work: Callable[[StepContext], None]) -> Plan:
    """Return a plan in which b and c need a, and d needs both."""
    needs = {"a": "", "b": "a", "c": "a", "d": "bc"}
    nothing: Callable[[StepContext], None] = lambda _: None  # noqa: E731
    return Plan([Undone(name, list(wanted), order, work.get(name, nothing)) for name, wanted in needs.items()])


def engine(plan: Plan, undone: Sequence[str], record: Record) -> UndoEngine:
    clock = SystemClock()
    recorder = Recorder(record, clock, record, [], run_id="run")
    return UndoEngine(plan, undone, recorder, clock, Workers(), lambda: 0.5, Limits(grace_s=1.0))


def test_steps_are_undone_when_all_that_needs_them_is() -> None:
    order: list[str] = []
    record = Record()
    assert engine(diamond(order), "abcd", record).run().outcome is Outcome.SUCCEEDED
    assert (order[0], set(order[1:3]), order[3]) == ("d", {"b", "c"}, "a")
    assert set(record.statuses().values()) == {"pending"}
    assert record.kinds("a") == [Kind.STEP_UNDO_STARTED, Kind.STEP_UNDONE]


def test_what_was_not_chosen_stays() -> None:
    order: list[str] = []
    record = Record()
    engine(diamond(order), ["d", "c"], record).run()
    assert order == ["d", "c"]
    assert record.statuses() == {"a": "completed", "b": "completed", "c": "pending", "d": "pending"}


def test_the_intent_is_durable_before_anything_is_taken_away() -> None:
    record = Record()
    seen: list[list[Kind]] = []
    plan = diamond([], d=lambda _: seen.append(record.kinds("d")))
    engine(plan, "d", record).run()
    assert seen == [[Kind.STEP_UNDO_STARTED]]


def test_an_undo_that_fails_is_tried_again_and_holds_up_what_comes_after() -> None:
    order: list[str] = []
    record = Record()

    def fail(_: StepContext) -> None:
        raise InstallError("busy", "not now", retryable=True)

    result = engine(diamond(order, c=fail), "abcd", record).run()
    assert result.outcome is Outcome.FAILED
    assert result.errors["c"].code == "busy"
    assert order.count("c") == 2
    assert "a" not in order
    assert record.statuses() == {"a": "completed", "b": "pending", "c": "failed", "d": "pending"}


def test_one_that_is_interrupted_is_neither_there_nor_gone_and_is_undone_again() -> None:
    order: list[str] = []
    record = Record()
    running = engine(diamond(order, d=lambda ctx: ctx.wait(30)), "abcd", record)
    running.interrupt("Ctrl-C")
    assert running.run().outcome is Outcome.INTERRUPTED
    assert record.statuses()["d"] == "in_progress"
    again = steps_to_undo(diamond([]), record.state)
    assert engine(diamond(order), again, record).run().outcome is Outcome.SUCCEEDED
    assert set(record.statuses().values()) == {"pending"}


@pytest.mark.parametrize(
    ("to", "expected"), [(None, ["d", "c", "b", "a"]), ("a", ["d", "c", "b"]), ("b", ["d"]), ("d", [])]
)
def test_a_rollback_takes_what_builds_on_a_step_the_last_first(to: str | None, expected: list[str]) -> None:
    assert list(steps_to_undo(diamond([]), Record().state, to)) == expected


def test_only_what_is_pending_has_left_nothing() -> None:
    for statuses in itertools.product(("pending", "in_progress", "completed", "failed"), repeat=4):
        state = State("test", steps=dict(zip("abcd", map(StepState, statuses), strict=True)))
        left = {name for name, status in zip("abcd", statuses, strict=True) if status != "pending"}
        assert set(steps_to_undo(diamond([]), state)) == left
