"""The engine that takes steps back: the same turns and records as an installation's, the other way round."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult
from contextcore_install.engine.engine import Engine, Task
from contextcore_install.engine.plan import Plan


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
