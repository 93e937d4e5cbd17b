"""preflight: check that the machine has what the stack needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from contextcore_install.core.findings import CheckResult
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.text import count
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep

PROBES_AT_ONCE = 8


class Preflight(BaseStep):
    """Probes all requirements concurrently; provides those that it may."""

    id = "preflight"
    title = "Check the machine"
    retry = RetryPolicy(attempts=2)
    timeout_s = 900.0

    def check(self, ctx: StepContext) -> CheckResult:
        probed = self._probe_all()
        met = sum(all(finding.warning for finding in probe.findings) for _, probe in probed)
        findings = tuple(finding for _, probe in probed for finding in probe.findings)
        return CheckResult(f"{met} of {count(len(probed), 'requirement')} met", findings)

    def apply(self, ctx: StepContext) -> None:
        """Provide what is missing if that is possible and wanted; raise for the rest, before anything is provided."""
        fixes: dict[Callable[[StepContext], None], str] = {}  # several requirements may have the same
        for requirement, probe in self._probe_all():
            first = next((finding for finding in probe.findings if not finding.warning), None)
            if first is None:
                continue
            if requirement.fix is None:
                raise first.as_error()
            fixes.setdefault(requirement.fix, requirement.title)
        for fix, title in fixes.items():
            with ctx.part(title):
                fix(ctx)

    def _probe_all(self) -> list[tuple[Requirement, Probe]]:
        requirements = self._provider.requirements()
        with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
            return list(zip(requirements, pool.map(lambda each: each.probe(), requirements), strict=True))
