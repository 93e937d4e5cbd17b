"""The engine that takes steps back, and which steps a rollback takes back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult
from contextcore_install.engine.engine import Engine, Task
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.state import PENDING, State


class UndoEngine(Engine):
    """Undoes some steps of a plan, each when all that needs it has been undone.

    An undo is not checked: what it leaves is for the next check of the step to tell. One that is cut off leaves the
    step in progress, so that it is undone again, or applied again, whatever there is of it.
    """

    def __init__(self, plan: Plan, undone: Collection[str], *surroundings: Any) -> None:
        super().__init__(plan, *surroundings)
        self._sorter = plan.backwards(undone)

    def _begin(self, task: Task) -> None:
        self._start_attempt(task)

    def _act(self, task: Task) -> None:
        task.step.undo(self._context(task, applies=True))

    def _judge(self, task: Task) -> CheckResult:
        return CheckResult()

    def _record_attempt(self, task: Task) -> None:
        self._recorder.record(Kind.STEP_UNDO_STARTED, task.step.id, attempt=task.attempt)

    def _record_success(self, task: Task, *, already: bool, summary: str) -> None:
        self._recorder.record(Kind.STEP_UNDONE, task.step.id, duration_seconds=self._elapsed(task))


def steps_to_undo(plan: Plan, state: State, to: str | None = None) -> tuple[str, ...]:
    """Return the steps that have left something, the last first: all, or those that build on the step `to`.

    A step counts unless it is pending: one that failed or was cut off may have made something too.
    """
    wanted = {step.id for step in plan} if to is None else _builds_on(plan, to)
    return tuple(
        step.id for step in reversed(list(plan)) if step.id in wanted and state.step(step.id).status != PENDING
    )


def _builds_on(plan: Plan, step_id: str) -> set[str]:
    found: set[str] = set()
    for step in plan:  # a plan names no step before those that it needs
        if step_id in step.needs or found.intersection(step.needs):
            found.add(step.id)
    return found
