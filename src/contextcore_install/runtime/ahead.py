"""The checks of an installation that is finished, begun before their turn: all wait at the same time.

What one finds counts in its turn if all is well, and for as long as what it has read does: until something is applied,
and for a few seconds. Whatever else it finds, or fails of, is looked at again.
"""

from __future__ import annotations

from concurrent.futures import wait
from functools import partial

from contextcore_install.core.findings import CheckResult
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.core.threads import CancelToken, start
from contextcore_install.engine.context import Context
from contextcore_install.engine.plan import Plan, Step

COUNTS_S = 3.0  # seconds


class ChecksAhead:
    """Checks every step of a plan, each in a thread of its own."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._clock = clock
        self._token = CancelToken()
        self._looks = {step.id: start(partial(self._look, step), f"ahead: {step.id}") for step in plan}

    def _look(self, step: Step) -> tuple[CheckResult, float]:
        context = Context(step.id, self._token, lambda *_: None, self._clock, self._clock.monotonic() + step.timeout_s)
        return step.check(context), self._clock.monotonic()

    def guard(self, plan: Plan) -> Plan:
        """Return the plan whose steps go by what was found."""
        return Plan([StepSeenAhead(step, self) for step in plan])

    def take(self, step_id: str, ctx: StepContext) -> CheckResult | None:
        """Return what was found of a step, once, if that counts."""
        look = self._looks.pop(step_id, None)
        if look is None:
            return None
        with ctx.on_cancel(self.forget):
            wait([look])
        if look.exception() or self._token.cancelled:  # whatever it is, it shows again in its turn
            return None
        result, found_at = look.result()
        return result if result.satisfied and self._clock.monotonic() - found_at <= COUNTS_S else None

    def forget(self) -> None:
        """Have nothing count that was found, or is found yet."""
        self._token.cancel("it is not needed any more")

    def close(self) -> None:
        self.forget()
        wait(self._looks.values())


class StepSeenAhead:
    """A step whose first check may have been made already."""

    def __init__(self, step: Step, ahead: ChecksAhead) -> None:
        self._step, self._ahead = step, ahead
        self.id, self.title, self.needs = step.id, step.title, step.needs
        self.retry, self.timeout_s, self.undo, self.by_hand = step.retry, step.timeout_s, step.undo, step.by_hand

    def check(self, ctx: StepContext) -> CheckResult:
        return self._ahead.take(self.id, ctx) or self._step.check(ctx)

    def apply(self, ctx: StepContext) -> None:
        self._ahead.forget()
        self._step.apply(ctx)
