"""What a component says over HTTP whose process lives; most of it heals by waiting."""

from __future__ import annotations

from contextcore_install.core.hints import RESUME
from contextcore_install.diagnosis.rule import Rule

HANGS = "does not answer"
"""The condition of what takes connections and gives no answer: it may heal by waiting, or by being started anew."""

SUSPENDED = "process-suspended"
"""The reason, and the code, of what takes connections and cannot answer, as its process was stopped by a signal."""

RULES: tuple[Rule, ...] = (
    Rule(
        SUSPENDED,
        "{title} is suspended: its process was stopped by a signal (SIGSTOP), and answers nobody.",
        "Let it go on.",
        RESUME,
        reasons=frozenset({SUSPENDED}),
        automatic=True,
    ),
    Rule(
        "not-listening",
        "Nothing listens on port {port}: {title} is still starting, or has ended.",
        errors=frozenset({"http-refused"}),
        passing="starting",
    ),
    Rule(
        "no-answer",
        "{title} accepts connections on port {port} but does not answer.",
        errors=frozenset({"http-timeout"}),
        passing=HANGS,
    ),
    Rule(
        "not-http",
        "What listens on port {port} is not {title}.",
        "End it, or choose another port.",
        RESUME + " --port {port_key}=PORT",
        errors=frozenset({"http-not-http"}),
        code="wrong-service",
    ),
    Rule(
        "connection-broke",
        "{title} on port {port} breaks the connection.",
        errors=frozenset({"http-reset"}),
        passing="breaks connections",
    ),
    Rule(
        "not-ready",
        "{title} is not ready yet: {said}",
        http_statuses=frozenset({500, 502, 503, 504}),
        passing="not ready: {said}",
    ),
    Rule(
        "wrong-service",
        "What answers on port {port} is not {title}: it has no {path} (HTTP {status}).",
        "End it, or choose another port.",
        RESUME + " --port {port_key}=PORT",
        http_statuses=frozenset({*range(300, 400), 400, 401, 403, 404, 405, 410, 501}),
    ),
    Rule("another-answer", "{title} gives an answer that is none of readiness.", passing="HTTP {status}"),
)
