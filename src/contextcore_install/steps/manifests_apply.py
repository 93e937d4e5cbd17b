"""manifests_apply: the release is in place as it should be."""

from __future__ import annotations

from collections.abc import Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep


class ManifestsApply(BaseStep):
    """Compares what is there with what should be, and puts the difference right."""

    id = "manifests_apply"
    title = "Apply the configuration"
    lesson = (
        "Puts in place what describes the stack. What is declared is compared with what is there, and only the "
        "difference is applied, so this can be repeated at any time and puts right what was changed by hand."
    )
    needs: tuple[str, ...] = ("cluster_create",)
    timeout_s = 300.0
    retry = RetryPolicy(attempts=4, base_s=2.0, floor_s=1.0)  # a cluster that is busy is not free a moment later

    def check(self, ctx: StepContext) -> CheckResult:
        """Look what differs."""
        findings = (*map(_finding, self._provider.drift()), *self._lost_data())
        wrong = sum(not finding.warning for finding in findings)
        summary = f"not in place: {wrong} of what belongs there" if wrong else "everything is in place"
        return CheckResult(summary, findings)

    def _lost_data(self) -> Sequence[Finding]:
        try:
            return self._replaced(self._provider.storage())
        except InstallError:
            return ()  # what stands in the way is found by the other checks

    def apply(self, ctx: StepContext) -> None:
        """Put the release in place."""
        self._provider.apply_release(ctx)

    def undo(self, ctx: StepContext) -> None:
        """Take the release away, and keep its data."""
        self._provider.remove_release(ctx)


def _finding(drift: Drift) -> Finding:
    message = f"{drift.name}: {drift.change}"
    if drift.kept:
        return Finding("drift-kept", message, warning=True)
    return Finding("drift", message, remedy=Remedy("put it in place again", risk=drift.risk, automatic=True))
