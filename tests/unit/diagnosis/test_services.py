"""A service that is not ready: nobody listens, nobody is behind the port, another one answers, or not yet."""

from __future__ import annotations

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import HttpResponse
from contextcore_install.core.provider import Endpoint
from contextcore_install.diagnosis.failures import service_finding
from contextcore_install.diagnosis.reasons import NODE_PORT, PORT_FORWARD


@pytest.mark.parametrize(
    ("via", "got", "code", "says"),
    [
        (NODE_PORT, InstallError("http-refused", "x"), "service-nothing-listens", "3000"),
        (NODE_PORT, InstallError("http-reset", "x"), "service-no-backend", "no pod of grafana"),
        (NODE_PORT, InstallError("http-timeout", "x"), "service-no-backend", "no pod of grafana"),
        (NODE_PORT, InstallError("http-not-http", "x"), "service-wrong", "grafana"),
        (NODE_PORT, HttpResponse(404, "no"), "service-wrong", "HTTP 404"),
        (NODE_PORT, HttpResponse(302, ""), "service-wrong", "HTTP 302"),
        (NODE_PORT, HttpResponse(503, "Ingester not ready: waiting for 15s"), "service-not-ready", "waiting for 15s"),
        (NODE_PORT, HttpResponse(429, "slow down"), "service-not-ready", "slow down"),
        (PORT_FORWARD, InstallError("http-refused", "x"), "service-no-backend", "no way to grafana"),
        (PORT_FORWARD, InstallError("http-reset", "x"), "service-no-backend", "no way to grafana"),
        ("", InstallError("http-refused", "x"), "service-nothing-listens", "127.0.0.1:3000"),
        ("", InstallError("http-timeout", "x"), "service-silent", "grafana"),
        ("", InstallError("something-new", "x"), "service-not-ready", "grafana"),
    ],
)
def test_each_silence_and_answer_has_its_meaning(
    via: str, got: HttpResponse | InstallError, code: str, says: str
) -> None:
    finding = service_finding(Endpoint("grafana", "http://127.0.0.1:3000", "/api/health", via), got)
    assert finding.code == code
    assert says in finding.message
    assert finding.remedy is not None


def test_an_endpoint_may_accept_more_than_success() -> None:
    endpoint = Endpoint("alloy", "http://127.0.0.1:4318", "/v1/traces", NODE_PORT, frozenset({405}))
    assert endpoint.is_ready(204)
    assert endpoint.is_ready(405)
    assert not endpoint.is_ready(503)
