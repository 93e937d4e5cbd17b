"""What a check found, what would fix it, and the errors that the engine makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from contextcore_install.core.dataclass import asdict, dataclass, replace
from contextcore_install.core.errors import MACHINE_REFUSES, REPAIR, RESUME, InstallError, own
from contextcore_install.core.text import and_more

DIAGNOSE = own("diagnose")


class Risk(StrEnum):
    """What a remedy may cost, smallest first."""

    HARMLESS = "harmless"
    RESTARTS = "restarts"
    LOSES_DATA = "loses-data"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What fixes a finding, and how to do it by hand. `automatic` says that applying the step carries it out."""

    summary: str
    command: str = ""
    risk: Risk = Risk.HARMLESS
    automatic: bool = False

    @property
    def advice(self) -> str:
        """What to type next or, if there is no command, what to do."""
        return self.command or self.summary

    @property
    def is_unasked(self) -> bool:
        """Whether the next run carries it out without being asked."""
        return self.automatic and self.risk is not Risk.LOSES_DATA


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. A `warning` does not fail the check."""

    code: str
    message: str
    evidence: str = ""
    remedy: Remedy | None = None
    warning: bool = False

    def as_document(self, typed: Callable[[str], str] = str) -> dict[str, Any]:
        """Return the finding as events and JSON output hold it; `typed` makes commands those that this user types."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.evidence:
            document["evidence"] = self.evidence
        if self.warning:
            document["warning"] = True
        if self.remedy:
            remedy = self.remedy
            document["remedy"] = {**asdict(remedy), "summary": typed(remedy.summary), "command": typed(remedy.command)}
        return document

    def as_error(self, hint: str | None = None, *, retryable: bool = False) -> InstallError:
        """Return the finding as an error; its hint is the remedy, unless another is given."""
        advice = self.remedy.advice if self.remedy else ""
        return InstallError(self.code, self.message, self.evidence, advice if hint is None else hint, retryable)


def finding_of(error: InstallError) -> Finding:
    """Return the finding of a check that an error ended."""
    remedy = Remedy(error.hint, error.hint) if error.hint else None
    return Finding(error.code, error.message, error.evidence, remedy)


def finding_from_document(document: Mapping[str, Any]) -> Finding:
    """Return the finding that an event or a document holds; a risk that is not known is taken for the greatest."""
    known, remedy = document.get("remedy"), None
    if isinstance(known, Mapping):
        risk = known.get("risk", Risk.HARMLESS)
        remedy = Remedy(
            str(known.get("summary", "")),
            str(known.get("command", "")),
            Risk(risk) if risk in list(Risk) else Risk.LOSES_DATA,
            bool(known.get("automatic")),
        )
    code, message, evidence = (str(document.get(name) or "") for name in ("code", "message", "evidence"))
    return Finding(code, message, evidence, remedy, warning=bool(document.get("warning")))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a step's check found; `summary` says in one line what was checked."""

    summary: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.warning)

    @property
    def satisfied(self) -> bool:
        return not self.problems


def still_wrong(problems: Sequence[Finding]) -> InstallError:
    """Return the error of a step whose check still finds problems after its apply."""
    error = problems[0].as_error(hint_after(problems[0].remedy), retryable=True)
    return replace(error, message=error.message + and_more(problems))


def hint_after(remedy: Remedy | None) -> str:
    """Return the next command after a remedy that did not help: not the same again."""
    if remedy and remedy.automatic and remedy.command in ("", REPAIR):
        return DIAGNOSE
    return remedy.advice if remedy else ""


def found_wrong(finding: Finding) -> InstallError:
    """Return a finding as an error whose hint is the remedy: nothing was carried out yet."""
    remedy = finding.remedy
    return finding.as_error(REPAIR if remedy and remedy.automatic and not remedy.command else None)


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
