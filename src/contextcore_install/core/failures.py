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
    """Return what to do where a remedy was carried out, if the step does that, and did not help.

    Not the same again: whoever repairs would be told to repair.
    """
    if remedy is None:
        return ""
    if remedy.automatic and remedy.command in ("", REPAIR):
        return DIAGNOSE
    return remedy.command or remedy.summary


def found_wrong(finding: Finding) -> InstallError:
    """Return a finding as an error, with what heals it: nothing was carried out yet."""
    remedy = finding.remedy
    hint = ""
    if remedy is not None:
        hint = remedy.command or (REPAIR if remedy.automatic else remedy.summary)
    return InstallError(finding.code, finding.message, finding.evidence, hint)


def timed_out(title: str, activity: str) -> InstallError:
    """Return the error of a step that ran out of time while it was at `activity`."""
    return InstallError(
        "timeout",
        f"{title}: not done within the time limit",
        evidence=f"at the end: {activity}" if activity else "",
        hint=RESUME,
    )


def unforeseen(step_id: str, error: Exception) -> InstallError:
    """Return the error of a step that raised what no step should raise, with its trace.

    Where the machine is at its end, a full disk say, it is no bug, and it may be better the next time.
    """
    number = error.errno or 0 if isinstance(error, OSError) else 0
    if number in MACHINE_REFUSES:
        where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return InstallError(
            "machine-refuses",
            f"step {step_id}: {os.strerror(number).lower()}{where}",
            hint=MACHINE_REFUSES[number],
            retryable=True,
        )
    from traceback import format_exception

    return InstallError(
        "bug",
        f"step {step_id} ended in a way it should not: {type(error).__name__}: {error}",
        evidence="".join(format_exception(error)),
        hint="please report this, with the evidence",
    )
