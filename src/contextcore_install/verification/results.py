"""The results of a verification: each requirement met, unmet or skipped, and how complete that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import REPAIR, InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.core.requirements import Category


class Status(StrEnum):
    """Whether a requirement is met; values of JSON output."""

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
        """Whether it is met; a warning does not count against it."""
        if any(not finding.warning for finding in self.probe.findings):
            return Status.UNMET
        return Status.SKIPPED if self.probe.skipped else Status.MET

    @property
    def blocking(self) -> bool:
        """Whether the installation does not work because of it."""
        return self.status is Status.UNMET and self.requirement.critical

    def as_document(self, typed: Callable[[str], str] = str) -> dict[str, Any]:
        """Return the result as JSON output shows it; what is secret in what was seen is hidden."""
        findings = [finding.as_document(typed) for finding in self.probe.findings]
        evidence = self.probe.evidence or (self.probe.findings[0].evidence if findings else "")
        document: dict[str, Any] = {
            "id": self.id,
            "title": self.requirement.title,
            "category": self.requirement.category.value,
            "critical": self.requirement.critical,
            "status": self.status.value,
            "evidence": hide_secrets(evidence),
        }
        for finding in findings:
            finding |= {key: hide_secrets(finding[key]) for key in ("message", "evidence") if key in finding}
        return {**document, "findings": findings} if findings else document

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
    """Return the results that count: what was skipped was not measured."""
    return [result.as_measurement() for result in results if result.status is not Status.SKIPPED]


def completeness(results: Sequence[RequirementResult]) -> float | None:
    """Return the percentage of requirements met of those that were measured; None if none was."""
    measured = [result.status is Status.MET for result in results if result.status is not Status.SKIPPED]
    return round(100.0 * sum(measured) / len(measured), 1) if measured else None


def by_category(results: Sequence[RequirementResult]) -> list[dict[str, Any]]:
    """Return each category with its completeness, in a fixed order."""
    rows = []
    for category in Category:
        members = [result for result in results if result.requirement.category is category]
        counts = {status.value: sum(result.status is status for result in members) for status in Status}
        rows.append({"category": category.value, "completeness_percent": completeness(members), **counts})
    return rows


def unmet(code: str, message: str, evidence: str = "", *, fix: str = "", command: str = "") -> Probe:
    """Return the probe of a requirement that is not met, with what to do."""
    remedy = Remedy(fix, command) if fix or command else None
    return Probe(evidence, (Finding(code, message, evidence, remedy),))


def skipped(reason: str) -> Probe:
    return Probe(reason, skipped=True)


def unknown(error: InstallError) -> Probe:
    """Return the probe of a requirement that an error kept from being looked at."""
    return skipped(f"not known: {error.message}")


def failed(error: InstallError) -> Probe:
    """Return the probe of a requirement that is not met because of an error."""
    command = error.hint or REPAIR
    return unmet(error.code, error.message, error.evidence, fix=command, command=command)


def probe_of_check(check: CheckResult) -> Probe:
    """Return a step's check as the probe of a requirement."""
    unseen = [finding for finding in check.findings if finding.code == "not-known-yet"]
    return skipped(unseen[0].message) if unseen else Probe(check.summary, check.findings)
