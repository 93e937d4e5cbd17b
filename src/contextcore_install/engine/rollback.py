"""Which steps a rollback takes back, and in which order. Pure."""

from __future__ import annotations

from contextcore_install.engine.plan import Plan
from contextcore_install.engine.state import PENDING, State


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
