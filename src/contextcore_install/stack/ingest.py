"""The URLs to send metrics, logs and traces to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contextcore_install.core.provider import Endpoint
from contextcore_install.stack.catalogue import COMPONENTS, LOOPBACK, METRICS_STORE

OTLP_PORT = "alloy-http"
OTLP_PATH = "/v1/traces"
"""An endpoint that is asked here takes OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request"""

OTLP_ANSWERS = frozenset({404, 405})  # what OTLP's HTTP receiver says to a GET

ASKED = (
    *((item.name, item.ready_port, item.ready_path, frozenset[int]()) for item in COMPONENTS),
    ("alloy", OTLP_PORT, OTLP_PATH, OTLP_ANSWERS),
)
"""What is asked in a cluster: a component, the key of its port, the path, and which statuses but 2xx it may answer."""

_TAKES_SPANS = (("alloy", OTLP_PORT), ("tempo", "tempo-otlp-http"))
"""Who takes spans, with the key of the port for it: the collector, which hands them on, else the store itself."""


def metrics_url(endpoints: Sequence[Endpoint]) -> str | None:
    return _reached(endpoints, METRICS_STORE)


def logs_url(endpoints: Sequence[Endpoint]) -> str | None:
    return _reached(endpoints, "loki")


def traces_url(endpoints: Sequence[Endpoint], ports: Mapping[str, int]) -> str | None:
    """Return where OTLP over HTTP is taken; None while there is no such place.

    A provider that reaches it through something gives it as an endpoint of its own; what is a process of this machine
    listens on the port that `ports` has for it.
    """
    for endpoint in endpoints:
        if endpoint.ready_path == OTLP_PATH and endpoint.is_reachable:
            return endpoint.base_url
    here = {endpoint.component for endpoint in endpoints if not endpoint.via and endpoint.is_reachable}
    if "tempo" not in here:
        return None  # the collector takes no spans that it cannot hand on
    return next(f"http://{LOOPBACK}:{ports[key]}" for name, key in _TAKES_SPANS if name in here)


def _reached(endpoints: Sequence[Endpoint], component: str) -> str | None:
    return next((item.base_url for item in endpoints if item.component == component and item.is_reachable), None)
