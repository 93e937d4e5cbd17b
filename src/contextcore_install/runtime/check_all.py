"""Looking at everything without touching it: every step's check, at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.ports import Clock
from contextcore_install.engine.context import Context
from contextcore_install.engine.plan import Plan, Step

CHECK_LIMIT_S = 60.0
NOT_KNOWN = "not-known-yet"
"""The code of what could not be looked at because of something that an earlier step is about."""


def survey(plan: Plan, clock: Clock, token: CancelToken | None = None) -> dict[str, CheckResult]:
    """Return what each step's check finds, in the plan's order. A check that fails is a finding itself.

    Where it fails for want of what an earlier step is about, that one's findings say it all. With a token, the checks
    can be told to end; CancelledError is raised then.
    """
    ending = token or CancelToken()
    with ThreadPoolExecutor(max(1, len(plan))) as pool:
        try:
            looked = list(pool.map(lambda step: _check(step, clock, ending), plan))
        except BaseException:
            ending.cancel("interrupted")  # else the pool waits for all that is being looked at
            raise
    found: dict[str, CheckResult] = {}
    for step, result in zip(plan, looked, strict=True):
        needed = plan.until(step.id)
        first = next((other.id for other in needed if other.id in found and found[other.id].problems), "")
        if isinstance(result, InstallError):
            found[step.id] = CheckResult(findings=(_unknown(first, result) if first else _failed(result),))
        else:
            found[step.id] = result
    return found


def checks_document(results: dict[str, CheckResult], typed: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return a survey as JSON output shows it; `typed` makes commands those that this user types."""
    return [
        {
            "id": step_id,
            "satisfied": result.satisfied,
            "summary": result.summary,
            "findings": [_typed(finding, typed) for finding in result.findings],
        }
        for step_id, result in results.items()
    ]


def _typed(finding: Finding, typed: Callable[[str], str]) -> dict[str, Any]:
    document = finding.as_document()
    if "remedy" in document:
        document["remedy"]["command"] = typed(document["remedy"]["command"])
    return document


def _check(step: Step, clock: Clock, token: CancelToken) -> CheckResult | InstallError:
    context = Context(step.id, token, _say_nothing, clock, clock.monotonic() + CHECK_LIMIT_S)
    try:
        return step.check(context)
    except InstallError as error:
        return error


def _failed(error: InstallError) -> Finding:
    remedy = Remedy(error.hint, error.hint) if error.hint else None
    return Finding(error.code, error.message, error.evidence, remedy)


def _unknown(needed: str, error: InstallError) -> Finding:
    return Finding(NOT_KNOWN, f"not known before {needed} is mended: {error.message}", error.evidence)


def _say_nothing(kind: Kind, step: str, data: dict[str, Any]) -> None:
    """A survey records nothing."""
