"""The steps that the provider carries out: the cluster, the release in it, and its workloads."""

from __future__ import annotations

from collections.abc import Sequence

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk, hint_after
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ClusterState, Drift, Workload
from contextcore_install.core.text import count
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep

_CLUSTER_REMEDIES = {
    ClusterState.ABSENT: Remedy("create it", automatic=True),
    ClusterState.PARTIAL: Remedy("finish what is half made, or make it anew", risk=Risk.RESTARTS, automatic=True),
    ClusterState.STOPPED: Remedy("start it", risk=Risk.RESTARTS, automatic=True),
    ClusterState.LOST: Remedy("delete it with its data, and install anew", own("delete"), Risk.LOSES_DATA),
    ClusterState.FOREIGN: Remedy("choose another name with --cluster NAME"),
}


class ClusterCreate(BaseStep):
    """Creates the cluster, starts a stopped one, and refuses to touch one that is not ours."""

    id = "cluster_create"
    title = "Create the cluster"
    needs: tuple[str, ...] = ("preflight",)
    timeout_s = 900.0

    def check(self, ctx: StepContext) -> CheckResult:
        report = self._provider.cluster()
        message = f"the cluster is {report.state}"
        if report.state in {ClusterState.HEALTHY, ClusterState.DEGRADED}:
            return CheckResult(report.evidence or message, report.findings)
        finding = Finding(f"cluster-{report.state}", message, report.evidence, _CLUSTER_REMEDIES[report.state])
        return CheckResult(report.evidence, (*report.findings, finding))

    def apply(self, ctx: StepContext) -> None:
        self._provider.create_cluster(ctx)

    def undo(self, ctx: StepContext) -> None:
        """Remove the cluster, and keep the data that can outlive it."""
        self._provider.remove_cluster(ctx, keep_data=True)


class ManifestsApply(BaseStep):
    """Compares what is there with what is declared, and applies the difference."""

    id = "manifests_apply"
    title = "Apply the configuration"
    needs: tuple[str, ...] = ("cluster_create",)
    timeout_s = 300.0
    retry = RetryPolicy(attempts=4, base_s=2.0, floor_s=1.0)  # a cluster that is busy is not free a moment later

    def check(self, ctx: StepContext) -> CheckResult:
        findings = (*map(_drift_finding, self._provider.drift()), *self._replaced_data())
        wrong = sum(not finding.warning for finding in findings)
        return CheckResult(f"{count(wrong, 'object')} out of sync" if wrong else "everything is in sync", findings)

    def _replaced_data(self) -> Sequence[Finding]:
        try:
            return self._tools.replaced(self._provider.storage())
        except InstallError:
            return ()  # the other checks find why

    def apply(self, ctx: StepContext) -> None:
        self._provider.apply_release(ctx)

    def undo(self, ctx: StepContext) -> None:
        """Remove the release, and keep its data."""
        self._provider.remove_release(ctx)


class PodsReady(BaseStep):
    """Starts what should run, and watches until all of it is ready or something cannot become so."""

    id = "pods_ready"
    title = "Wait until everything is ready"
    needs: tuple[str, ...] = ("manifests_apply",)
    retry = RetryPolicy(attempts=2)
    timeout_s = 600.0

    def check(self, ctx: StepContext) -> CheckResult:
        workloads = self._provider.workloads()
        findings = tuple(workload.finding or _not_ready(workload) for workload in workloads if not workload.ready)
        return CheckResult(f"{len(workloads) - len(findings)} of {len(workloads)} ready", findings)

    def apply(self, ctx: StepContext) -> None:
        self._provider.start_workloads(ctx)
        for workloads in self._provider.watch_workloads(ctx):
            waiting = [workload for workload in workloads if not workload.ready]
            if not waiting:
                return
            if finding := next((workload.finding for workload in waiting if workload.finding), None):
                retryable = bool(finding.remedy and finding.remedy.automatic)
                raise finding.as_error(hint_after(finding.remedy), retryable=retryable)
            ctx.activity(", ".join(f"{workload.name} {workload.condition}" for workload in waiting))


def _drift_finding(drift: Drift) -> Finding:
    message = f"{drift.name}: {drift.change}"
    if drift.kept:
        return Finding("drift-kept", message, warning=True)
    return Finding("drift", message, remedy=Remedy("put it in place again", risk=drift.risk, automatic=True))


def _not_ready(workload: Workload) -> Finding:
    message = f"{workload.name} is not ready: {workload.condition}"
    remedy = Remedy(f"start {workload.name} if it does not run, and wait", risk=Risk.RESTARTS, automatic=True)
    return Finding("workload-not-ready", message, remedy=remedy)
