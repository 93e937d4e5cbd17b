"""metrics_seed: send the installation's own metrics to the metrics store, and read them back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy, still_wrong
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.text import count
from contextcore_install.engine.plan import RetryPolicy
from contextcore_install.steps.base import BaseStep

_STORE = "mimir"  # the workload that is the metrics store, whichever program it is
CONTEXTCORE_WITHIN_S, MEASURE_WITHIN_S = 60.0, 20.0


class MetricsSeed(BaseStep):
    """Sends what is unsent, and reads all of it back by query."""

    id = "metrics_seed"
    title = "Seed the metrics"
    needs: tuple[str, ...] = ("services_verify",)
    retry = RetryPolicy(attempts=3, base_s=1.0)
    timeout_s = 120.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Look whether the store has, and shows, what earlier runs recorded."""
        remedy = Remedy("send it, and read it back", automatic=True)
        unsent = self._tools.telemetry.unsent()
        if unsent:
            finding = Finding("metrics-unsent", f"not in the metrics store: {count(unsent, 'event')}", remedy=remedy)
            return CheckResult(findings=(finding,))
        if not self._tools.telemetry.measured():
            text = "How complete the installation is has not been measured yet"
            return CheckResult(findings=(Finding("metrics-unmeasured", text, remedy=remedy),))
        missing = self._tools.telemetry.missing_samples()
        findings = tuple(Finding("metrics-missing", text, remedy=remedy) for text in missing)
        return CheckResult(f"{self._tools.telemetry.backend()} shows every status change", findings)

    def apply(self, ctx: StepContext) -> None:
        """Measure, send, and read back; the error for a store that has ended is its cause."""
        try:
            self._seed(ctx)
        except InstallError as error:
            raise self._cause(error) from error
        self._ask_contextcore(ctx)

    def _seed(self, ctx: StepContext) -> None:
        ctx.activity("measuring how complete it is")
        ctx.verified(self._tools.measure(min(MEASURE_WITHIN_S, ctx.remaining_s)))
        ctx.activity(f"sending to {self._tools.telemetry.backend()}")
        sent = self._tools.telemetry.flush(ctx)
        ctx.activity(f"reading {count(sent, 'sample')} back")
        missing = self._tools.telemetry.missing_samples()
        if missing:
            raise InstallError(
                "metrics-missing",
                f"the metrics store accepted the samples and does not show them: {missing[0]}",
                evidence="\n".join(missing),
                hint=self._provider.log_command(_STORE),
                retryable=True,
            )
        ctx.notice(f"{count(sent, 'sample')} sent to {self._tools.telemetry.backend()} and read back")

    def _cause(self, error: InstallError) -> InstallError:
        """Return why the store does not answer, if its provider knows: it may die of what it was asked for."""
        if not error.code.startswith("metrics-store-"):
            return error
        with suppress(InstallError):
            for workload in self._provider.workloads():
                if workload.name == _STORE and not workload.ready and workload.finding:
                    return still_wrong((workload.finding,))
        error.hint = error.hint or self._provider.log_command(_STORE)
        return error

    def _ask_contextcore(self, ctx: StepContext) -> None:
        """Run ContextCore's own verification if it is installed, and report its result: it is not ours to judge."""
        program = self._tools.programs.find("contextcore")
        if program is None:
            return
        with ctx.part("contextcore install verify"):
            code, lines = self._tools.programs.run([program, "install", "verify"], ctx, CONTEXTCORE_WITHIN_S)
        said = f": {lines[-1]}" if lines else ""
        ctx.notice(f"contextcore install verify {'passed' if code == 0 else f'ended with {code}'}{said}")

    def by_hand(self) -> Sequence[str]:
        query = "query=contextcore_install_step_status"
        return [f"curl --get --data-urlencode {query} {self._tools.telemetry.query_url()}"]
