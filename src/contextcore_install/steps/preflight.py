"""preflight: the machine has what the stack needs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.text import count
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep

PROBES_AT_ONCE = 8


class Preflight(BaseStep):
    """Probes every requirement at the same time; provides those that it may."""

    id = "preflight"
    title = "Check the machine"
    lesson = (
        "Looks whether this machine has what the stack needs: programs, free ports, memory, disk and folders. Most "
        "installations that fail do so for one of these, minutes in; asked first, the answer takes a moment."
    )
    retry = RetryPolicy(attempts=2)
    timeout_s = 900.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Probe all requirements."""
        requirements = self._provider.requirements()
        probes = self._probe(requirements)
        met = sum(not any(not finding.warning for finding in probe.findings) for probe in probes)
        findings = tuple(finding for probe in probes for finding in probe.findings)
        return CheckResult(f"{met} of {count(len(probes), 'requirement')} met", findings)

    def apply(self, ctx: StepContext) -> None:
        """Provide what is missing where that is possible and wanted; raise for the rest."""
        requirements = self._provider.requirements()
        for requirement, probe in zip(requirements, self._probe(requirements), strict=True):
            problems = [finding for finding in probe.findings if not finding.warning]
            if not problems:
                continue
            if requirement.fix is None:
                first = problems[0]
                hint = (first.remedy.command or first.remedy.summary) if first.remedy else ""
                raise InstallError(first.code, first.message, first.evidence, hint)
            with ctx.part(requirement.title):
                requirement.fix(ctx)

    @staticmethod
    def _probe(requirements: Sequence[Requirement]) -> list[Probe]:
        with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
            return list(pool.map(lambda requirement: requirement.probe(), requirements))
