"""Why a service is not ready: what it answered, or how it did not, and what stands in between (`via`)."""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR, RESUME
from contextcore_install.diagnosis.rule import Rule

NODE_PORT, PORT_FORWARD = "node port", "port-forward"
"""Values of `Endpoint.via`: a port of this machine that a cluster's node shows; a way that kubectl opened."""

_LATER = frozenset({408, 425, 429, *range(500, 600)})
_NO_ONE = frozenset({"http-reset", "http-timeout"})

RULES: tuple[Rule, ...] = (
    Rule(
        "service-not-ready",
        "{title} is not ready: {url} says HTTP {status}: {said}",
        "Wait for it, or start it again.",
        REPAIR,
        http_statuses=_LATER,
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-wrong",
        "Another service answers in place of {title}: {url} says HTTP {status}.",
        "Put the Services back in place; if another program holds the port, choose another.",
        REPAIR,
        http_statuses=frozenset({*range(100, 200), *range(300, 500)}) - _LATER,
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-not-http",
        "What listens in place of {title} at {url} does not speak HTTP.",
        "End it, or choose another port.",
        RESUME + " --port {title}=PORT",
        errors=frozenset({"http-not-http"}),
        code="service-wrong",
    ),
    Rule(
        "service-node-port-closed",
        "Nothing listens on port {port}: the cluster's node does not run, or was made without this port.",
        "Start the node.",
        REPAIR,
        errors=frozenset({"http-refused"}),
        where={"via": NODE_PORT},
        code="service-nothing-listens",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    # The engine's proxy takes every connection, and only then finds that there is nobody to hand it to.
    Rule(
        "service-no-backend",
        "Port {port} leads into the cluster, and no pod of {title} answers behind it.",
        "Put the Service and its workload back in place.",
        REPAIR,
        errors=_NO_ONE,
        where={"via": NODE_PORT},
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-no-way",
        "There is no way to {title} in the cluster: its Service or its pod is missing.",
        "Put them back in place.",
        REPAIR,
        errors=_NO_ONE | {"http-refused"},
        where={"via": PORT_FORWARD},
        code="service-no-backend",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-nothing-listens",
        "Nothing listens at {url}, where {title} should answer.",
        "Start it.",
        REPAIR,
        errors=frozenset({"http-refused"}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-silent",
        "{title} takes connections at {url} and does not answer.",
        "Start it again.",
        REPAIR,
        errors=_NO_ONE,
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "service-unreached",
        "{title} is not ready: {url} gives no answer: {last}",
        "Wait for it, or start it again.",
        REPAIR,
        code="service-not-ready",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
)
