from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from contextcore_install.core.findings import Finding
from contextcore_install.core.interfaces import HttpResponse
from contextcore_install.core.provider import Endpoint, Probe, Requirement
from contextcore_install.steps.base import StepTools
from contextcore_install.steps.provider_steps import ServicesVerify
from kit.fakes import FakeHttp, FakeProvider, Told


class WayThatComesBack(FakeProvider):
    """A provider whose way to its only service does not stand the first time it is asked for."""

    def endpoints(self) -> Sequence[Endpoint]:
        port = 10_000 if self.calls.count("endpoints") else 0
        self._called("endpoints")
        return [Endpoint("mimir", f"http://127.0.0.1:{port}", "/ready")]


class JustStarted(FakeProvider):
    """A provider whose service must answer for a while before that counts."""

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("mimir", "http://127.0.0.1:10000", "/ready", steady_s=0.5)]


class Flapping(FakeHttp):
    """Answers once, and then no more."""

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        answer = super().get(url, timeout_s)
        self.answers.clear()
        return answer


class WithoutProxy(FakeProvider):
    """A provider whose cluster has lost what leads to its services."""

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("mimir", "http://127.0.0.1:10000", "/ready")]

    def cluster_services(self) -> Sequence[Requirement]:
        gone = Probe(findings=(Finding("kube-proxy-down", "kube-proxy is not in the cluster"),))
        return [Requirement("kube_proxy", "Services lead to their pods", lambda: gone)]


def test_what_is_wrong_on_the_way_to_a_silent_service_comes_before_the_service() -> None:
    nothing: Any = None
    ready = {"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")}
    for asked, codes in ((FakeHttp(), ["kube-proxy-down", "silent"]), (FakeHttp(ready), [])):
        step = ServicesVerify(
            StepTools(
                WithoutProxy(),
                asked,
                nothing,
                nothing,
                lambda endpoint, _: Finding("silent", endpoint.component),
                lambda _: [],
            )
        )
        found = step.check(cast("Any", Told().ctx))
        assert [finding.code for finding in found.findings] == codes


def test_a_service_behind_a_node_that_has_just_started_must_answer_for_a_while() -> None:
    for http, findings in ((FakeHttp, 0), (Flapping, 1)):
        nothing: Any = None
        asked = http({"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")})
        step = ServicesVerify(
            StepTools(
                JustStarted(),
                asked,
                nothing,
                nothing,
                lambda endpoint, _: Finding("silent", endpoint.component),
                lambda _: [],
            )
        )
        assert len(step.check(cast("Any", Told().ctx)).findings) == findings


def test_a_way_that_stands_again_is_taken_while_services_are_waited_for() -> None:
    provider = WayThatComesBack()
    nothing: Any = None
    http = FakeHttp({"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")})
    step = ServicesVerify(
        StepTools(
            provider, http, nothing, nothing, lambda endpoint, _: Finding("silent", endpoint.component), lambda _: []
        )
    )
    step.apply(cast("Any", Told().ctx))
    assert http.asked == ["http://127.0.0.1:0/ready", "http://127.0.0.1:10000/ready"]


class Taken(FakeProvider):
    """A provider in whose service's place another program listens; with `fixed`, the port cannot be changed."""

    fixed = False

    def endpoints(self) -> Sequence[Endpoint]:
        holder = "port 10000 is held by nginx (pid 17)"
        url = "http://127.0.0.1:10000"
        return [Endpoint("mimir", url, "/ready", stranger=holder, port_is_fixed=self.fixed)]


@pytest.mark.parametrize(
    ("fixed", "command"), [(False, "./create-cluster.sh --resume --port mimir=PORT"), (True, "kill 17")]
)
def test_another_port_is_offered_only_where_it_can_be_had(fixed: bool, command: str) -> None:
    nothing: Any = None
    provider = Taken()
    provider.fixed = fixed
    tools = StepTools(provider, FakeHttp({}), nothing, nothing, nothing, lambda _: [])
    (finding,) = ServicesVerify(tools).check(cast("Any", Told().ctx)).findings
    assert finding.remedy is not None
    assert finding.remedy.command == command
