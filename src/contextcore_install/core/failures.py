"""The errors that the engine itself finds in a step."""

from __future__ import annotations

import os

from contextcore_install.core.errors import MACHINE_REFUSES, InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.hints import REPAIR, RESUME, own

DIAGNOSE = own("diagnose")


def still_wrong(problems: tuple[Finding, ...]) -> InstallError:
    """Return the error of a step whose check still finds problems after its apply."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InstallError(first.code, first.message + more, first.evidence, hint_after(first.remedy), retryable=True)


def hint_after(remedy: Remedy | None) -> str:
    """Return the next command after a remedy that did not help: not the same again."""
    if remedy is None:
        return ""
    if remedy.automatic and remedy.command in ("", REPAIR):
        return DIAGNOSE
    return remedy.command or remedy.summary


def found_wrong(finding: Finding) -> InstallError:
    """Return a finding as an error whose hint is the remedy: nothing was carried out yet."""
    remedy = finding.remedy
    hint = remedy.command or (REPAIR if remedy.automatic else remedy.summary) if remedy else ""
    return InstallError(finding.code, finding.message, finding.evidence, hint)


def timed_out(title: str, activity: str) -> InstallError:
    """Return the error of a step that ran out of time during `activity`."""
    evidence = f"at the end: {activity}" if activity else ""
    return InstallError("timeout", f"{title}: not done within the time limit", evidence, RESUME)


def unforeseen(step_id: str, error: Exception) -> InstallError:
    """Return the error of a step that raised what no step should raise, with its trace.

    If the machine refuses, for a full disk say, it is not a bug, and another try may help.
    """
    if isinstance(error, OSError) and (hint := MACHINE_REFUSES.get(error.errno or 0)):
        where = f": {error.filename}" if error.filename else ""
        message = f"step {step_id}: {os.strerror(error.errno or 0).lower()}{where}"
        return InstallError("machine-refuses", message, hint=hint, retryable=True)
    from traceback import format_exception

    return InstallError(
        "bug",
        f"step {step_id} ended in a way it should not: {type(error).__name__}: {error}",
        evidence="".join(format_exception(error)),
        hint="please report this, with the evidence",
    )
