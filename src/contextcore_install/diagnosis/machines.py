"""What facts about this machine come to."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.findings import Finding
from contextcore_install.diagnosis.diagnose import problem_of
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject


def limits_met(facts: Mapping[str, str], *seen: str) -> tuple[Finding, ...]:
    """Return the finding for facts that are not as they should be, with what was seen; nothing where they are."""
    problem = problem_of(Subject.MACHINE, Evidence("machine", seen, facts=facts))
    return (problem,) if problem else ()
