"""What a check saw, and what would put it right."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Risk(StrEnum):
    """What a remedy may cost, smallest first."""

    HARMLESS = "harmless"
    RESTARTS = "restarts"
    LOSES_DATA = "loses-data"


@dataclass(frozen=True, slots=True)
class Remedy:
    """An action that heals a finding: what it does, what it risks, and how to do it by hand.

    `automatic` is true where applying the step carries the remedy out.
    """

    summary: str
    command: str = ""
    risk: Risk = Risk.HARMLESS
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. A `warning` does not stand in the way."""

    code: str
    message: str
    evidence: str = ""
    remedy: Remedy | None = None
    warning: bool = False

    def as_document(self) -> dict[str, Any]:
        """Return the finding as events and JSON output show it."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.evidence:
            document["evidence"] = self.evidence
        if self.warning:
            document["warning"] = True
        if self.remedy:
            document["remedy"] = {
                "summary": self.remedy.summary,
                "command": self.remedy.command,
                "risk": self.remedy.risk.value,
                "automatic": self.remedy.automatic,
            }
        return document


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a step's check found; `summary` says in one line what was looked at."""

    summary: str = ""
    findings: tuple[Finding, ...] = field(default=())

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that stand in the way."""
        return tuple(finding for finding in self.findings if not finding.warning)

    @property
    def satisfied(self) -> bool:
        """Whether the step has nothing to do."""
        return not self.problems
