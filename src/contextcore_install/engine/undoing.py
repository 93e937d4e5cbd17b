"""The engine that undoes steps, and which steps a rollback undoes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult
from contextcore_install.engine.context import Context, Task
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.engine.state import PENDING, State


class UndoEngine(Engine):
    """Undoes some steps of a plan, each when all that needs it has been undone.

    The result of an undo is not checked: the next check of the step shows it. One that is cut off leaves the step in
    progress, so that it is undone again, or applied again.
    """

    begins_as = Kind.STEP_UNDO_STARTED

    def __init__(self, plan: Plan, undone: Collection[str], *surroundings: Any) -> None:
        super().__init__(plan, *surroundings)
        self._sorter = plan.backwards(undone)

    def _begin(self, task: Task) -> None:
        self._start_attempt(task)

    def _act(self, step: Step, ctx: Context) -> None:
        step.undo(ctx)

    def _judge(self, task: Task) -> CheckResult:
        return CheckResult()

    def _record_success(self, task: Task, *, already: bool, summary: str) -> None:
        self._recorder.record(Kind.STEP_UNDONE, task.step.id, duration_seconds=self._elapsed(task))


def steps_to_undo(plan: Plan, state: State, to: str | None = None) -> tuple[str, ...]:
    """Return the steps that are not pending, the last first: all, or those that depend on the step `to`.

    One that failed or was cut off may have made something too.
    """
    wanted = {step.id for step in plan if to is None}
    for step in plan:  # a plan names no step before those that it needs
        if to in step.needs or wanted.intersection(step.needs):
            wanted.add(step.id)
    return tuple(step.id for step in reversed([*plan]) if step.id in wanted and state.step(step.id).status != PENDING)
