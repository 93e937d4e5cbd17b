"""What it means that a service is not ready: what it answered, or how it did not, and what stands in between."""

from __future__ import annotations

from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Risk
from contextcore_install.core.ports import Endpoint, HttpAnswer
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rules import Rule, finding_of, match

NODE_PORT, PORT_FORWARD = "node port", "port-forward"
"""Values of `Endpoint.via`: a port of this machine that a cluster's node shows; a way that kubectl opened."""

REPAIR = "./create-cluster.sh --repair"

NOT_READY = Rule(
    "service-not-ready",
    "{title} is not ready: {url} says HTTP {status}: {said}",
    "Wait for it, or start it again.",
    REPAIR,
    http_statuses=frozenset({408, 425, 429, *range(500, 600)}),
    risk=Risk.RESTARTS,
    automatic=True,
)
WRONG_SERVICE = Rule(
    "service-wrong",
    "Another service answers in place of {title}: {url} says HTTP {status}.",
    "Put the Services back in place; if another program holds the port, choose another.",
    REPAIR,
    http_statuses=frozenset({*range(100, 200), *range(300, 500)} - {408, 425, 429}),
    risk=Risk.RESTARTS,
    automatic=True,
)
NOT_HTTP = Rule(
    "service-wrong",
    "What listens in place of {title} at {url} does not speak HTTP.",
    "End it, or choose another port.",
    "./create-cluster.sh --resume --port {title}=PORT",
    http_code="http-not-http",
)
ANSWERS: tuple[Rule, ...] = (NOT_READY, WRONG_SERVICE, NOT_HTTP)

SILENCES: dict[str, tuple[Rule, ...]] = {
    NODE_PORT: (
        Rule(
            "service-nothing-listens",
            "Nothing listens on port {port}: the cluster's node does not run, or was made without this port.",
            "Start the node.",
            REPAIR,
            http_code="http-refused",
            risk=Risk.RESTARTS,
            automatic=True,
        ),
        *(
            # The engine's proxy takes every connection, and only then finds that there is nobody to hand it to.
            Rule(
                "service-no-backend",
                "Port {port} leads into the cluster, and no pod of {title} answers behind it.",
                "Put the Service and its workload back in place.",
                REPAIR,
                http_code=code,
                risk=Risk.RESTARTS,
                automatic=True,
            )
            for code in ("http-reset", "http-timeout")
        ),
    ),
    PORT_FORWARD: tuple(
        Rule(
            "service-no-backend",
            "There is no way to {title} in the cluster: its Service or its pod is missing.",
            "Put them back in place.",
            REPAIR,
            http_code=code,
            risk=Risk.RESTARTS,
            automatic=True,
        )
        for code in ("http-refused", "http-reset", "http-timeout")
    ),
    "": (
        Rule(
            "service-nothing-listens",
            "Nothing listens at {url}, where {title} should answer.",
            "Start it.",
            REPAIR,
            http_code="http-refused",
            risk=Risk.RESTARTS,
            automatic=True,
        ),
        *(
            Rule(
                "service-silent",
                "{title} takes connections at {url} and does not answer.",
                "Start it again.",
                REPAIR,
                http_code=code,
                risk=Risk.RESTARTS,
                automatic=True,
            )
            for code in ("http-reset", "http-timeout")
        ),
    ),
}
"""What it means that there is no answer, by what stands in between."""


def explain_service(endpoint: Endpoint, got: HttpAnswer | InstallError) -> Finding:
    """Return the finding for a service that is not ready."""
    facts = {
        "title": endpoint.component,
        "url": endpoint.ready_url,
        "port": str(urlsplit(endpoint.base_url).port or "?"),
    }
    if isinstance(got, HttpAnswer):
        evidence = Evidence(endpoint.component, http_status=got.status, http_text=got.text, facts=facts)
    else:
        lines = (got.message, *got.evidence.splitlines())
        evidence = Evidence(endpoint.component, lines, http_code=got.code, facts=facts)
    rules = (*ANSWERS, *SILENCES.get(endpoint.via, SILENCES[""]))
    return finding_of(match(rules, evidence) or NOT_READY, evidence)
