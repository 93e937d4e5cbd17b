"""Every step's check at the same time, with nothing touched, and what would heal what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Risk, finding_of
from contextcore_install.core.interfaces import Clock
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document
from contextcore_install.ui.style import Style

CHECK_LIMIT_S = 60.0
NOT_KNOWN = "not-known-yet"
"""The code of what could not be looked at because of something that an earlier step is about."""

Found = Mapping[str, CheckResult]  # what each step's check finds, in the plan's order


def check_all(plan: Plan, clock: Clock, token: CancelToken | None = None) -> dict[str, CheckResult]:
    """Return what each step's check finds, in the plan's order. A check that fails is a finding itself.

    If it fails for want of what an earlier step is about, that one's findings say it all. With a token, the checks can
    be cancelled; CancelledError is raised then.
    """
    ending = token or CancelToken()
    with ThreadPoolExecutor(max(1, len(plan))) as pool:
        try:
            results = list(pool.map(lambda step: _check(step, clock, ending), plan))
        except BaseException:
            ending.cancel("interrupted")  # else the pool waits for all that is being looked at
            raise
    found: dict[str, CheckResult] = {}
    for step, result in zip(plan, results, strict=True):
        if isinstance(result, InstallError):
            unmet = (other.id for other in plan.until(step.id) if other.id in found and found[other.id].problems)
            finding = finding_of(result)
            if needed := next(unmet, ""):
                text = f"not known before {needed} is fixed: {result.message}"
                finding = Finding(NOT_KNOWN, text, result.evidence)
            found[step.id] = CheckResult(findings=(finding,))
        else:
            found[step.id] = result
    return found


def _check(step: Step, clock: Clock, token: CancelToken) -> CheckResult | InstallError:
    context = Context(step.id, token, lambda *_: None, clock, clock.monotonic() + CHECK_LIMIT_S)
    try:
        return step.check(context)
    except InstallError as error:
        return error


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
