"""verify: whether the installation is complete: the steps' checks, and what a user would find out by using it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.threads import run_concurrently
from contextcore_install.engine.outcome import Outcome
from contextcore_install.runtime.app import App
from contextcore_install.runtime.checks import CHECK_LIMIT_S, check_all, checks_document
from contextcore_install.runtime.installation import Installation
from contextcore_install.runtime.interaction import report_document
from contextcore_install.runtime.notifier import Notifier
from contextcore_install.runtime.records import open_records
from contextcore_install.runtime.recovery import find_installation
from contextcore_install.steps.registry import TITLES
from contextcore_install.storage.store import Records
from contextcore_install.verification.requirements import step_results
from contextcore_install.verification.results import RequirementResult, Status, by_category, completeness, measurements

LIMIT_S = 40.0  # the most that all probes may take, in seconds, unless --timeout gives less

SENDING_PATIENCE_S = 2.0  # what a metrics store that does not answer may cost at the end, in seconds


def verify(app: App) -> int:
    from contextcore_install.ui.checks import render_verification

    began = app.clock.monotonic()
    records, installation = find_installation(app, "verify")
    checks, probed = _check_and_probe(installation, records.notices.append)
    results = step_results(checks, TITLES) + probed
    complete = not any(result.blocking for result in results)
    took_s = round(app.clock.monotonic() - began, 3)
    document: dict[str, Any] = {
        "cluster": app.settings.cluster,
        "provider": installation.selection.provider,
        "ok": complete,
        "completeness_percent": completeness(results),
        "duration_seconds": took_s,
        "checks": checks_document(checks, app.commands.typed),
        "categories": by_category(results),
        "requirements": [result.as_document(app.commands.typed) for result in results],
    }
    unrecorded = _record(app, records, results, complete=complete, took_s=took_s)
    document["recorded"] = not unrecorded
    if unrecorded:
        document["not_recorded"] = unrecorded
    report_document(
        app, "verify/v1", document, lambda style: render_verification(document, checks, style, app.commands)
    )
    if complete:
        return ExitCode.DONE
    unmet = {result.id: CheckResult(findings=result.probe.findings) for result in results if result.blocking}
    Notifier(app).verification_failed(installation.selection.provider, {**checks, **unmet})
    return ExitCode.STEP_FAILED


def _check_and_probe(
    installation: Installation, report: Callable[[str], None]
) -> tuple[dict[str, CheckResult], list[RequirementResult]]:
    """Return what the steps' checks and all other probes find, both at the same time; raises InstallError."""
    limit_s, clock = min(LIMIT_S, installation.app.settings.timeout_s), installation.app.clock
    plan = installation.plan(installation.shipper(report))
    work: dict[str, Callable[[], Any]] = {
        "checks": lambda: check_all(plan, clock),
        "probes": lambda: installation.verify(limit_s),
    }
    found: dict[str, Any] = run_concurrently(work, limit_s + CHECK_LIMIT_S)
    for result in found.values():
        if isinstance(result, InstallError):
            raise result
    return found["checks"], found["probes"]


def _record(app: App, records: Records, results: Sequence[RequirementResult], *, complete: bool, took_s: float) -> str:
    """Record what was found, with the lock held for that moment only; return why that was not possible."""
    if not records.offset.events:
        return "its records are lost" if records.state.exists else "nothing is installed"
    outcome = Outcome.SUCCEEDED if complete else Outcome.FAILED
    try:
        with open_records(app, used=False) as (_, recorder, shipper):
            facts: dict[str, Any] = {"outcome": outcome.value, "duration_seconds": took_s}
            recorder.record(Kind.VERIFIED, mode="verify", **facts, requirements=measurements(results))
            recorder.sync()
            works = any(result.id == "metric_round_trip" and result.status is Status.MET for result in results)
            shipper.close(SENDING_PATIENCE_S if works else 0.0)
    except InstallError as error:
        return error.message
    return ""
