"""What a verification comes to: each requirement met, unmet or skipped, and how complete that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.hints import REPAIR
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.core.requirements import Category


class Status(StrEnum):
    """How a requirement is."""

    MET = "met"
    UNMET = "unmet"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """A requirement, and what its probe showed."""

    requirement: Requirement
    probe: Probe

    @property
    def id(self) -> str:
        """The requirement's id as metrics and JSON have it."""
        return self.requirement.id.replace("-", "_")

    @property
    def status(self) -> Status:
        """Whether it is met; a warning does not stand in the way."""
        if any(not finding.warning for finding in self.probe.findings):
            return Status.UNMET
        return Status.SKIPPED if self.probe.skipped else Status.MET

    @property
    def stands_in_the_way(self) -> bool:
        """Whether the installation does not work for want of it."""
        return self.status is Status.UNMET and self.requirement.critical

    def as_document(self) -> dict[str, Any]:
        """Return the result as JSON output shows it; what is secret in what was seen is hidden."""
        first = next((finding for finding in self.probe.findings), None)
        evidence = self.probe.evidence or (first.evidence if first else "")
        document: dict[str, Any] = {
            "id": self.id,
            "title": self.requirement.title,
            "category": self.requirement.category.value,
            "critical": self.requirement.critical,
            "status": self.status.value,
            "evidence": hide_secrets(evidence),
        }
        if self.probe.findings:
            document["findings"] = [_shown(finding) for finding in self.probe.findings]
        return document

    def as_measurement(self) -> dict[str, Any]:
        """Return the result as the event `verified` holds it."""
        return {
            "requirement": self.id,
            "title": self.requirement.title,
            "category": self.requirement.category.value,
            "ratio": float(self.status is Status.MET),
            "critical": self.requirement.critical,
        }


def measurements(results: Sequence[RequirementResult]) -> list[dict[str, Any]]:
    """Return what counts of the results: what was skipped was not measured."""
    return [result.as_measurement() for result in results if result.status is not Status.SKIPPED]


def completeness(results: Sequence[RequirementResult]) -> float | None:
    """Return how many percent of what was looked at are met; None where nothing was."""
    looked_at = [result.status is Status.MET for result in results if result.status is not Status.SKIPPED]
    return round(100.0 * sum(looked_at) / len(looked_at), 1) if looked_at else None


def by_category(results: Sequence[RequirementResult]) -> list[dict[str, Any]]:
    """Return each category with its completeness, in a fixed order."""
    rows = []
    for category in Category:
        of_it = [result for result in results if result.requirement.category is category]
        counts = {status.value: sum(result.status is status for result in of_it) for status in Status}
        rows.append({"category": category.value, "completeness_percent": completeness(of_it), **counts})
    return rows


def unmet(code: str, message: str, evidence: str = "", *, fix: str = "", command: str = "") -> Probe:
    """Return what says that a requirement is not met, and what to do."""
    remedy = Remedy(fix, command) if fix or command else None
    return Probe(evidence, (Finding(code, message, evidence, remedy),))


def skipped(reason: str) -> Probe:
    """Return what says that a requirement could not be looked at."""
    return Probe(reason, skipped=True)


def failed(error: InstallError) -> Probe:
    """Return what an error says of a requirement that could not be met for it."""
    command = error.hint or REPAIR
    return unmet(error.code, error.message, error.evidence, fix=command, command=command)


def of_check(result: CheckResult) -> Probe:
    """Return a step's check as the probe of a requirement."""
    unknown = [finding for finding in result.findings if finding.code == "not-known-yet"]
    if unknown:
        return skipped(unknown[0].message)
    return Probe(result.summary, result.findings)


def _shown(finding: Finding) -> dict[str, Any]:
    document = finding.as_document()
    for name in ("message", "evidence"):
        if name in document:
            document[name] = hide_secrets(document[name])
    return document
