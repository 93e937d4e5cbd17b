"""Every step's check at the same time, with nothing touched, and what would heal what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Risk, finding_of
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.core.threads import CancelToken, run_concurrently, start
from contextcore_install.engine.context import Context
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document
from contextcore_install.ui.style import Style

COUNTS_S = 3.0  # for how many seconds what was looked at ahead counts
CHECK_LIMIT_S, TO_END_S = 60.0, 10.0  # seconds for a check, and for one that does not end by itself then
NOT_KNOWN = "not-known-yet"
"""The code of what could not be looked at because of something that an earlier step is about."""

Found = Mapping[str, CheckResult]  # what each step's check finds, in the plan's order


def check_all(plan: Plan, clock: Clock, token: CancelToken | None = None) -> dict[str, CheckResult]:
    """Return what each step's check finds, in the plan's order. A check that fails is a finding itself.

    If it fails for want of what an earlier step is about, that one's findings say it all. With a token, the checks can
    be cancelled; CancelledError is raised then.
    """
    ending, deadline = token or CancelToken(), clock.monotonic() + CHECK_LIMIT_S
    checks = {step.id: partial(step.check, Context(step.id, ending, lambda *_: None, clock, deadline)) for step in plan}
    try:
        results = run_concurrently(checks, CHECK_LIMIT_S + TO_END_S)
    finally:
        ending.cancel("the checks are over")  # for one that still looks at something
    found: dict[str, CheckResult] = {}
    for step_id, result in results.items():
        if isinstance(result, InstallError):
            unmet = (other.id for other in plan.until(step_id) if other.id in found and found[other.id].problems)
            finding = finding_of(result)
            if needed := next(unmet, ""):
                text = f"not known before {needed} is fixed: {result.message}"
                finding = Finding(NOT_KNOWN, text, result.evidence)
            found[step_id] = CheckResult(findings=(finding,))
        else:
            found[step_id] = result
    return found


class ChecksAhead:
    """The checks of an installation that is finished, begun before their turn: all wait at the same time.

    What one finds counts in its turn if all is well, and for as long as what it has read does: until something is
    applied, and for a few seconds. Whatever else it finds, or fails of, is looked at again.
    """

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
        """End what still looks at something; what does not end is left behind, as the engine leaves a step."""
        self.forget()
        wait(self._looks.values(), TO_END_S)


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


def checks_document(found: Found, typed: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return what was found as JSON output shows it; `typed` makes commands those that this user types."""
    return [
        {
            "id": step_id,
            "satisfied": result.satisfied,
            "summary": result.summary,
            "findings": [finding.as_document(typed) for finding in result.findings],
        }
        for step_id, result in found.items()
    ]


def has_automatic_fix(found: Found, *, may_lose_data: bool) -> bool:
    """Return whether a repair would carry out anything for what was found."""
    remedies = [finding.remedy for result in found.values() for finding in result.problems]
    return any(
        remedy and (may_lose_data if remedy.risk is Risk.LOSES_DATA else remedy.automatic) for remedy in remedies
    )


def report_remedies(
    app: App, provider: str, found: Found, *, typed: Sequence[tuple[str, str]] = (), **facts: Any
) -> None:
    """Print what was found, what a repair does about it, and what to type (`typed`); `facts` are for the document."""
    from contextcore_install.ui.checks import remedies_document, render_remedies
    from contextcore_install.ui.status import next_lines

    document = {
        "cluster": app.settings.cluster,
        "provider": provider,
        "ok": all(result.satisfied for result in found.values()),
        "checks": checks_document(found, app.commands.typed),
        "remedies": remedies_document(found, app.commands.typed),
        **facts,
        **({"next": typed[0][0]} if typed else {}),
    }

    def render(style: Style) -> str:
        after = ["", *next_lines(typed, style)] if typed else []
        return "\n".join([render_remedies(found, style), *after])

    report_document(app, "repair/v1", document, render)
