"""services_verify: every service answers from here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.hints import own
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Endpoint
from contextcore_install.core.requirements import how_to_end
from contextcore_install.engine.retry import RetryPolicy
from contextcore_install.steps.base import BaseStep

ANSWER_WITHIN_S = 3.0
ASK_AGAIN_S = 0.25


class ServicesVerify(BaseStep):
    """Asks all services at the same time, and tells what came back where one is not ready."""

    id = "services_verify"
    title = "Ask the services"
    lesson = (
        "Asks each service over HTTP from where you will use it. An open port proves little: it can be open with "
        "nothing behind it."
    )
    needs: tuple[str, ...] = ("pods_ready",)
    retry = RetryPolicy(attempts=2)
    timeout_s = 120.0
    patience_s = 50.0

    def check(self, ctx: StepContext) -> CheckResult:
        """Ask each service; one that must be steady, for as long as it must."""
        endpoints = self._provider.endpoints()
        if not endpoints:
            remedy = Remedy("install it", automatic=True)
            return CheckResult(findings=(Finding("no-services", "there is no service to ask yet", remedy=remedy),))
        findings = self._ask(endpoints)
        asked_for_s, steady_s = 0.0, max(endpoint.steady_s for endpoint in endpoints)
        while not findings and asked_for_s < steady_s:
            ctx.wait(ASK_AGAIN_S)
            asked_for_s += ASK_AGAIN_S
            findings = self._ask(endpoints)
        between = self._between() if findings else ()
        return CheckResult(
            f"{len(endpoints) - len(findings)} of {len(endpoints)} services answer", (*between, *findings)
        )

    def apply(self, ctx: StepContext) -> None:
        """Ask until all answer; services that have just started may need a moment."""
        asked_for_s = 0.0
        while findings := self._ask(self._provider.endpoints()):  # anew: a way that failed may stand again
            if asked_for_s >= self.patience_s:
                return  # the check that follows says what is wrong
            more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
            ctx.activity(findings[0].message + more)
            ctx.wait(ASK_AGAIN_S)
            asked_for_s += ASK_AGAIN_S

    def by_hand(self) -> Sequence[str]:
        """Return how to ask each service."""
        asking = [f"curl -i {endpoint.ready_url}" for endpoint in self._provider.endpoints()]
        return [*self._provider.by_hand(self.id), *asking]

    def _ask(self, endpoints: Sequence[Endpoint]) -> tuple[Finding, ...]:
        with ThreadPoolExecutor(max(1, len(endpoints))) as pool:
            return tuple(finding for finding in pool.map(self._answer, endpoints) if finding)

    def _between(self) -> tuple[Finding, ...]:
        """Return what is wrong between here and services that do not answer: it comes before blame of their own."""
        return tuple(found for each in self._provider.cluster_services() for found in each.probe().findings)

    def _answer(self, endpoint: Endpoint) -> Finding | None:
        if endpoint.stranger:
            return _foreign(endpoint)
        try:
            answer = self._http.get(endpoint.ready_url, ANSWER_WITHIN_S)
        except InstallError as error:
            return self._explain(endpoint, error)
        return None if endpoint.is_ready(answer.status) else self._explain(endpoint, answer)


def _foreign(endpoint: Endpoint) -> Finding:
    name = endpoint.component
    if endpoint.port_is_fixed:
        port = urlsplit(endpoint.base_url).port or 0
        remedy = Remedy(
            "End it: the cluster keeps the ports that it was made with.", how_to_end(endpoint.stranger, port)
        )
    else:
        remedy = Remedy("End it, or choose another port.", own("--resume", "--port", f"{name}=PORT"))
    return Finding(
        "service-foreign",
        f"What listens in place of {name} at {endpoint.base_url} is not of this installation, and was not asked.",
        endpoint.stranger,
        remedy,
    )
