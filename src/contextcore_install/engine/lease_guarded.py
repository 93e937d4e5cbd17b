"""Steps that ask before they act."""

from __future__ import annotations

from typing import Protocol

from contextcore_install.core.ports import StepContext
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.engine.state import CLUSTER_STEP

ON_THIS_MACHINE = "preflight"
"""The step that changes nothing but this machine, for which nobody need be asked."""


class Guard(Protocol):
    """Says whether a step may act."""

    def confirm(self, ctx: StepContext, *, is_up: bool) -> None:
        """Return when it may; raises InstallError when not. `is_up` says that the cluster is known to be there."""


def lease_guarded(plan: Plan, guard: Guard) -> Plan:
    """Return a plan whose steps act only where the guard lets them."""
    return Plan([step if step.id == ON_THIS_MACHINE else LeaseGuardedStep(step, guard) for step in plan])


class LeaseGuardedStep:
    """A step that asks before it acts."""

    def __init__(self, step: Step, guard: Guard) -> None:
        self._step = step
        self._guard = guard
        self._is_up = step.id != CLUSTER_STEP
        self.id, self.title, self.lesson, self.needs = step.id, step.title, step.lesson, step.needs
        self.retry, self.timeout_s = step.retry, step.timeout_s
        self.check, self.by_hand = step.check, step.by_hand

    def apply(self, ctx: StepContext) -> None:
        """Act, where that is allowed."""
        self._guard.confirm(ctx, is_up=self._is_up)
        self._step.apply(ctx)

    def undo(self, ctx: StepContext) -> None:
        """Take back, where that is allowed."""
        self._guard.confirm(ctx, is_up=self._is_up)
        self._step.undo(ctx)
