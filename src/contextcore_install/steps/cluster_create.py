"""cluster_create: there is a healthy cluster of ours under its name."""

from __future__ import annotations

from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.core.hints import own
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import ClusterState
from contextcore_install.steps.base import BaseStep

_REMEDIES = {
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
    lesson = (
        "Makes the place where the stack runs. What is there already under this name is looked at first: a healthy "
        "cluster is used, a stopped one started, one that somebody else made is left alone."
    )
    needs: tuple[str, ...] = ("preflight",)
    timeout_s = 900.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Look what is there under the cluster's name."""
        report = self._provider.cluster()
        if report.state in {ClusterState.HEALTHY, ClusterState.DEGRADED}:
            return CheckResult(report.evidence or f"the cluster is {report.state}", report.findings)
        finding = Finding(
            f"cluster-{report.state}", f"the cluster is {report.state}", report.evidence, _REMEDIES[report.state]
        )
        return CheckResult(report.evidence, (*report.findings, finding))

    def apply(self, ctx: StepContext) -> None:
        """Bring the cluster to healthy; the provider refuses one that is not ours."""
        self._provider.create_cluster(ctx)

    def undo(self, ctx: StepContext) -> None:
        """Remove the cluster, and keep the data that can outlive it."""
        self._provider.remove_cluster(ctx, keep_data=True)
