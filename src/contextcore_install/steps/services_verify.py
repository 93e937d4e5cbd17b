"""services_verify: check that every service answers from here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.interfaces import HttpResponse, StepContext
from contextcore_install.core.provider import Endpoint
from contextcore_install.core.requirements import how_to_end
from contextcore_install.core.text import and_more
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep

#: Seconds for an answer, and after which a service is asked once more: TCP tries a connection that was begun before the
#: way to a new pod was open again only after a second.
ANSWER_WITHIN_S, QUICK_S = 3.0, 0.3
POLL_S = 0.25
STARTING_S = 50.0  # for how long services that have just started are waited for


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
        findings = self._ask(endpoints)
        waited_s, steady_s = 0.0, max(endpoint.steady_s for endpoint in endpoints)
        while not findings and waited_s < steady_s:
            ctx.wait(POLL_S)
            waited_s += POLL_S
            findings = self._ask(endpoints)
        # What is wrong on the way to services comes before blame of their own.
        way = self._provider.cluster_services() if findings else ()
        between = tuple(finding for each in way for finding in each.probe().findings)
        answering = len(endpoints) - len(findings)
        return CheckResult(f"{answering} of {len(endpoints)} services answer", (*between, *findings))

    def apply(self, ctx: StepContext) -> None:
        """Ask until all answer; services that have just started may need a moment."""
        waited_s = 0.0
        while findings := self._ask(self._provider.endpoints()):  # again: a connection that failed may be back
            if waited_s >= STARTING_S:
                return  # the check that follows says what is wrong
            ctx.activity(findings[0].message + and_more(findings))
            ctx.wait(POLL_S)
            waited_s += POLL_S

    def by_hand(self) -> Sequence[str]:
        asking = [f"curl -i {endpoint.ready_url}" for endpoint in self._provider.endpoints()]
        return [*self._provider.by_hand(self.id), *asking]

    def _ask(self, endpoints: Sequence[Endpoint]) -> tuple[Finding, ...]:
        with ThreadPoolExecutor(max(1, len(endpoints))) as pool:
            return tuple(finding for finding in pool.map(self._answer, endpoints) if finding)

    def _answer(self, endpoint: Endpoint) -> Finding | None:
        if endpoint.stranger:
            return _foreign(endpoint)
        try:
            answer = self._get(endpoint.ready_url)
        except InstallError as error:
            return self._tools.explain(endpoint, error)
        return None if endpoint.is_ready(answer.status) else self._tools.explain(endpoint, answer)

    def _get(self, url: str) -> HttpResponse:
        try:
            return self._tools.http.get(url, QUICK_S)
        except InstallError as error:
            if error.code != "http-timeout":
                raise
        return self._tools.http.get(url, ANSWER_WITHIN_S)


def _foreign(endpoint: Endpoint) -> Finding:
    name = endpoint.component
    if endpoint.port_is_fixed:
        command = how_to_end(endpoint.stranger, urlsplit(endpoint.base_url).port or 0)
        remedy = Remedy("End it: the cluster keeps the ports that it was made with.", command)
    else:
        remedy = Remedy("End it, or choose another port.", own("--resume", "--port", f"{name}=PORT"))
    message = f"What listens in place of {name} at {endpoint.base_url} is not of this installation, and was not asked."
    return Finding("service-foreign", message, endpoint.stranger, remedy)
