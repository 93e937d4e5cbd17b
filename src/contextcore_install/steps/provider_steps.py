"""The steps that are the provider's: what the machine needs, the cluster, the release, its workloads and services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk, hint_after
from contextcore_install.core.interfaces import HttpResponse, StepContext
from contextcore_install.core.provider import ClusterState, Drift, Endpoint, Probe, Requirement, Workload
from contextcore_install.core.requirements import how_to_end
from contextcore_install.core.text import and_more, count
from contextcore_install.engine.plan import RetryPolicy
from contextcore_install.steps.base import BaseStep

PROBES_AT_ONCE = 8
#: Seconds for an answer, and after which a service is asked once more, at first: TCP tries a connection that was begun
#: before the way to a new pod was open again only after a second, and it opens within one.
ANSWER_WITHIN_S, QUICK_S, QUICK_TRIES = 3.0, 0.3, 4
POLL_S = 0.25
STARTING_S = 50.0  # for how long services that have just started are waited for
FOREIGN = "service-foreign"  # the finding of a service in whose place another program listens

_CLUSTER_REMEDIES = {
    ClusterState.ABSENT: Remedy("create it", automatic=True),
    ClusterState.PARTIAL: Remedy("finish what is half made, or make it anew", risk=Risk.RESTARTS, automatic=True),
    ClusterState.STOPPED: Remedy("start it", risk=Risk.RESTARTS, automatic=True),
    ClusterState.LOST: Remedy("delete it with its data, and install anew", own("delete"), Risk.LOSES_DATA),
    ClusterState.FOREIGN: Remedy("choose another name with --cluster NAME"),
}


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
    timeout_s = 900.0  # images may still be on their way
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


class ServicesVerify(BaseStep):
    """Asks all services concurrently, and reports the answer of each that is not ready."""

    id = "services_verify"
    title = "Verify the services"
    needs: tuple[str, ...] = ("pods_ready",)
    retry = RetryPolicy(attempts=2)
    timeout_s = 120.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Ask each service; one that must be steady, for as long as it must (`Endpoint.steady_s`)."""
        endpoints = self._provider.endpoints()
        if not endpoints:
            remedy = Remedy("install it", automatic=True)
            return CheckResult(findings=(Finding("no-services", "there is no service to ask yet", remedy=remedy),))
        silent = self._ask(endpoints)
        waited_s, steady_s = 0.0, max(endpoint.steady_s for endpoint in endpoints)
        while not silent and waited_s < steady_s:
            ctx.wait(POLL_S)
            waited_s += POLL_S
            silent = self._ask(endpoints)
        summary = f"{len(endpoints) - len(silent)} of {len(endpoints)} services answer"
        if not silent:
            return CheckResult(summary)
        # What is wrong on the way to services comes before blame of their own.
        between = [finding for way in self._provider.cluster_services() for finding in way.probe().findings]
        causes = self._causes()
        findings = (_following(finding, causes.get(endpoint.component)) for endpoint, finding in silent)
        return CheckResult(summary, (*between, *findings))

    def _causes(self) -> Mapping[str, Finding]:
        """Return what is wrong with each workload that is not ready, if that can be told."""
        with suppress(InstallError):
            workloads = self._provider.workloads()
            return {each.name: each.finding or _not_ready(each) for each in workloads if not each.ready}
        return {}

    def apply(self, ctx: StepContext) -> None:
        """Ask until all answer; services that have just started may need a moment."""
        waited_s = 0.0
        while silent := self._ask(self._provider.endpoints()):  # again: a connection that failed may be back
            if waited_s >= STARTING_S:
                return  # the check that follows says what is wrong
            ctx.activity(silent[0][1].message + and_more(silent))
            ctx.wait(POLL_S)
            waited_s += POLL_S

    def by_hand(self) -> Sequence[str]:
        asking = [f"curl -i {endpoint.ready_url}" for endpoint in self._provider.endpoints()]
        return [*self._provider.by_hand(self.id), *asking]

    def _ask(self, endpoints: Sequence[Endpoint]) -> list[tuple[Endpoint, Finding]]:
        """Return the services that are not ready, and why."""
        with ThreadPoolExecutor(max(1, len(endpoints))) as pool:
            answers = zip(endpoints, pool.map(self._answer, endpoints), strict=True)
            return [(endpoint, finding) for endpoint, finding in answers if finding]

    def _answer(self, endpoint: Endpoint) -> Finding | None:
        if endpoint.stranger:
            return _foreign(endpoint)
        try:
            answer = self._get(endpoint.ready_url)
        except InstallError as error:
            return self._tools.explain(endpoint, error)
        return None if endpoint.is_ready(answer.status) else self._tools.explain(endpoint, answer)

    def _get(self, url: str) -> HttpResponse:
        for _ in range(QUICK_TRIES):
            try:
                return self._tools.http.get(url, QUICK_S)
            except InstallError as error:
                if error.code != "http-timeout":
                    raise
        return self._tools.http.get(url, ANSWER_WITHIN_S)


def _drift_finding(drift: Drift) -> Finding:
    message = f"{drift.name}: {drift.change}"
    if drift.kept:
        return Finding("drift-kept", message, warning=True)
    return Finding("drift", message, remedy=Remedy("put it in place again", risk=drift.risk, automatic=True))


def _not_ready(workload: Workload) -> Finding:
    message = f"{workload.name} is not ready: {workload.condition}"
    remedy = Remedy(f"start {workload.name} if it does not run, and wait", risk=Risk.RESTARTS, automatic=True)
    return Finding("workload-not-ready", message, remedy=remedy)


def _following(finding: Finding, cause: Finding | None) -> Finding:
    """Return what was found of a service: if its workload is the cause, it has no other remedy than that."""
    if cause is None or finding.code == FOREIGN:
        return finding
    return replace(finding, message=f"{finding.message} This follows from: {cause.message}", remedy=cause.remedy)


def _foreign(endpoint: Endpoint) -> Finding:
    name = endpoint.component
    if endpoint.port_is_fixed:
        command = how_to_end(endpoint.stranger, urlsplit(endpoint.base_url).port or 0)
        remedy = Remedy("End it: the cluster keeps the ports that it was made with.", command)
    else:
        remedy = Remedy("End it, or choose another port.", own("--resume", "--port", f"{name}=PORT"))
    message = f"What listens in place of {name} at {endpoint.base_url} is not of this installation, and was not asked."
    return Finding(FOREIGN, message, endpoint.stranger, remedy)
