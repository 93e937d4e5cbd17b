"""Looking at everything without touching it: every step's check, at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.context import Context
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.plan import Plan, Step
from contextcore_install.core.ports import Clock

CHECK_LIMIT_S = 60.0


def survey(plan: Plan, clock: Clock) -> dict[str, CheckResult]:
    """Return what each step's check finds, in the plan's order. A check that fails is a finding itself."""
    with ThreadPoolExecutor(max(1, len(plan))) as pool:
        results = pool.map(lambda step: _check(step, clock), plan)
        return {step.id: result for step, result in zip(plan, results, strict=True)}


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


def _check(step: Step, clock: Clock) -> CheckResult:
    context = Context(step.id, CancelToken(), _say_nothing, clock, clock.monotonic() + CHECK_LIMIT_S)
    try:
        return step.check(context)
    except InstallError as error:
        return CheckResult(findings=(Finding(error.code, error.message, error.evidence),))


def _say_nothing(kind: Kind, step: str, data: dict[str, Any]) -> None:
    """A survey records nothing."""
