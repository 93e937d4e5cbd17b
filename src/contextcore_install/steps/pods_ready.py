"""pods_ready: every workload runs and says that it is ready."""

from __future__ import annotations

from collections.abc import Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.failures import hint_after
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Workload
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep


class PodsReady(BaseStep):
    """Starts what should run, and watches until all of it is ready or something cannot become so."""

    id = "pods_ready"
    title = "Wait until everything is ready"
    lesson = (
        "Waits until each part says itself that it can work: that its process runs is not enough. What waiting cannot "
        "heal (an image that does not exist, a configuration that ends the program) is named at once."
    )
    needs: tuple[str, ...] = ("manifests_apply",)
    retry = RetryPolicy(attempts=2)
    timeout_s = 600.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Look at each workload once."""
        workloads = self._provider.workloads()
        findings = tuple(workload.finding or _not_ready(workload) for workload in workloads if not workload.ready)
        return CheckResult(f"{len(workloads) - len(findings)} of {len(workloads)} ready", findings)

    def apply(self, ctx: StepContext) -> None:
        """Start what does not run, then watch."""
        self._provider.start_workloads(ctx)
        for workloads in self._provider.watch_workloads(ctx):
            if all(workload.ready for workload in workloads):
                return
            _raise_for_hopeless(workloads)
            ctx.activity(_waiting_for(workloads))


def _raise_for_hopeless(workloads: Sequence[Workload]) -> None:
    for workload in workloads:
        finding = workload.finding
        if finding and not workload.ready:
            hint, retryable = hint_after(finding.remedy), bool(finding.remedy and finding.remedy.automatic)
            raise InstallError(finding.code, finding.message, finding.evidence, hint, retryable=retryable)


def _waiting_for(workloads: Sequence[Workload]) -> str:
    return ", ".join(f"{workload.name} {workload.condition}" for workload in workloads if not workload.ready)


def _not_ready(workload: Workload) -> Finding:
    return Finding(
        "workload-not-ready",
        f"{workload.name} is not ready: {workload.condition}",
        remedy=Remedy(f"start {workload.name} where it does not run, and wait", risk=Risk.RESTARTS, automatic=True),
    )
