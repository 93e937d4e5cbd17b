from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
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


class SlowToOpen(FakeHttp):
    """Takes no connection at first, and answers the ones that are begun later."""

    silent = 3

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        self.silent -= 1
        if self.silent >= 0:
            assert timeout_s < 1, "it would wait for a connection that leads nowhere"
            raise InstallError("http-timeout", "no answer")
        return super().get(url, timeout_s)


class WithoutProxy(FakeProvider):
    """A provider whose cluster has lost what leads to its services."""

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("mimir", "http://127.0.0.1:10000", "/ready")]

    def cluster_services(self) -> Sequence[Requirement]:
        gone = Probe(findings=(Finding("kube-proxy-down", "kube-proxy is not in the cluster"),))
        return [Requirement("kube_proxy", "Services lead to their pods", lambda: gone)]


AGAIN = Remedy("Start it.", automatic=True)


def step_of(provider: FakeProvider, http: FakeHttp) -> ServicesVerify:
    """Return the step for a provider, which explains a service that is not ready by its component's name."""
    nothing: Any = None

    def explain(endpoint: Endpoint, _: object) -> Finding:
        return Finding("silent", f"No answer of {endpoint.component}.", remedy=AGAIN)

    return ServicesVerify(StepTools(provider, http, nothing, nothing, explain, nothing))


def test_what_is_wrong_on_the_way_to_a_silent_service_comes_before_the_service() -> None:
    ready = {"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")}
    for asked, codes in ((FakeHttp(), ["kube-proxy-down", "silent"]), (FakeHttp(ready), [])):
        step = step_of(WithoutProxy(), asked)
        found = step.check(cast("Any", Told().ctx))
        assert [finding.code for finding in found.findings] == codes


def test_a_service_behind_a_node_that_has_just_started_must_answer_for_a_while() -> None:
    for http, findings in ((FakeHttp, 0), (Flapping, 1)):
        asked = http({"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")})
        step = step_of(JustStarted(), asked)
        assert len(step.check(cast("Any", Told().ctx)).findings) == findings


def test_a_service_that_is_just_being_reached_is_asked_anew_instead_of_waited_for() -> None:
    http = SlowToOpen({"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")})
    step = step_of(WithoutProxy(), http)
    assert not step.check(cast("Any", Told().ctx)).findings


def test_a_way_that_stands_again_is_taken_while_services_are_waited_for() -> None:
    provider = WayThatComesBack()
    http = FakeHttp({"http://127.0.0.1:10000/ready": HttpResponse(200, "ready")})
    step = step_of(provider, http)
    step.apply(cast("Any", Told().ctx))
    assert http.asked == ["http://127.0.0.1:0/ready", "http://127.0.0.1:10000/ready"]


class Taken(FakeProvider):
    """A provider in whose service's place another program listens; with `fixed`, the port cannot be changed."""

    fixed = False

    def endpoints(self) -> Sequence[Endpoint]:
        holder = "port 10000 is held by nginx (pid 17)"
        url = "http://127.0.0.1:10000"
        return [Endpoint("mimir", url, "/ready", stranger=holder, port_is_fixed=self.fixed)]


def test_a_service_whose_process_is_down_follows_from_that_and_has_no_other_remedy() -> None:
    provider, start = FakeProvider(["mimir"]), Remedy("Start it again.", automatic=True)
    provider.broken["mimir"] = Finding("ended", "mimir has ended.", remedy=start)
    step = step_of(provider, FakeHttp())
    (found,) = step.check(cast("Any", Told().ctx)).findings
    assert found == Finding("silent", "No answer of mimir. This follows from: mimir has ended.", remedy=start)
    provider.failures["workloads"] = [InstallError("not-known", "who knows")]
    (found,) = step.check(cast("Any", Told().ctx)).findings
    assert found.remedy == AGAIN


@pytest.mark.parametrize(
    ("fixed", "command"), [(False, "./create-cluster.sh --resume --port mimir=PORT"), (True, "kill 17")]
)
def test_another_port_is_offered_only_where_it_can_be_had(fixed: bool, command: str) -> None:
    provider = Taken()
    provider.fixed = fixed
    (finding,) = step_of(provider, FakeHttp()).check(cast("Any", Told().ctx)).findings
    assert finding.remedy is not None
    assert finding.remedy.command == command
