"""A metric, a log line and a span, each written as a user's program would and read back as a user would.

Loki: "Loki HTTP API" (push, query_range); Tempo: "Tempo HTTP API" (query a trace by its id, query echo);
spans: OTLP/HTTP with JSON, which collector and store take alike ("OTLP Specification", OTLP/HTTP).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from contextcore_install.core.hints import REPAIR
from contextcore_install.core.ports import Http, HttpResponse
from contextcore_install.core.provider import Probe
from contextcore_install.verification.results import skipped, unmet

ANSWER_WITHIN_S = 3.0
VISIBLE_WITHIN_S = 6.0
"""How long what was taken may stay unseen, in seconds: a collector gathers spans before it hands them on."""

ASK_AGAIN_S = 0.1
SERVICE = "contextcore-install"
_JSON = {"Content-Type": "application/json"}
_UNKNOWN = frozenset({404, 405, 501})
"""What a program says to a path or a method that it does not have."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Writes and reads for one installation. `now_us` gives UTC in microseconds since 1970."""

    http: Http
    cluster: str
    now_us: Callable[[], int]

    def line(self, loki: str) -> Probe:
        """Push a line into Loki and query it."""
        at_ns, token = self.now_us() * 1000, secrets.token_hex(8)
        labels = {"service_name": SERVICE, "cluster": self.cluster, "level": "debug"}
        text = json.dumps({"kind": "probe", "token": token})
        body = json.dumps({"streams": [{"stream": labels, "values": [[str(at_ns), text]]}]})
        pushed = self._post(f"{loki}/loki/api/v1/push", body)
        if pushed.status in _UNKNOWN:
            return skipped(f"what answers is not Loki: POST {loki}/loki/api/v1/push is {pushed.status}")
        if not 200 <= pushed.status < 300:
            return _refused("Loki", "line", pushed)
        selector = f'{{service_name="{SERVICE}",cluster={json.dumps(self.cluster)}}} |= "{token}"'
        wanted = {"query": selector, "start": str(at_ns - 10**9), "end": str(at_ns + 10**9), "limit": "1"}
        url = f"{loki}/loki/api/v1/query_range?{urlencode(wanted)}"
        return self._until_seen("Loki", "line", url, token, other=_UNKNOWN)

    def span(self, taker: str, tempo: str) -> Probe:
        """Send a span to whoever takes spans, and ask Tempo for its trace."""
        echo = self._get(f"{tempo}/api/echo")
        if echo.status in _UNKNOWN:
            return skipped(f"what answers at {tempo} is not Tempo: GET /api/echo is {echo.status}")
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        sent = self._post(f"{taker}/v1/traces", json.dumps(self._span(trace, span)))
        if not 200 <= sent.status < 300:
            return _refused(f"{taker}/v1/traces", "span", sent)
        # A trace that is not there is 404, so that says nothing of who answers.
        return self._until_seen("Tempo", "span", f"{tempo}/api/traces/{trace}", "probe", other=frozenset())

    def _span(self, trace: str, span: str) -> dict[str, object]:
        ended_ns = self.now_us() * 1000
        told = {"service.name": SERVICE, "contextcore.cluster": self.cluster}
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in told.items()]
        record = {
            "traceId": trace,
            "spanId": span,
            "name": "probe",
            "kind": 1,
            "startTimeUnixNano": str(ended_ns - 10**6),
            "endTimeUnixNano": str(ended_ns),
        }
        scope = {"scope": {"name": SERVICE}, "spans": [record]}
        return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}

    def _until_seen(self, store: str, what: str, url: str, token: str, other: frozenset[int]) -> Probe:
        began = time.monotonic()
        while True:
            answer = self._get(url)
            took = time.monotonic() - began
            if answer.status == 200 and token in answer.text:
                return Probe(f"written, and read back after {took:.1f} s")
            if answer.status in other:
                path = url.partition("?")[0]
                return skipped(f"what answers is not {store}: GET {path} is {answer.status}")
            if answer.status not in {200, 404} or took + ASK_AGAIN_S > VISIBLE_WITHIN_S:
                message = f"{store} took a {what} and does not show it."
                return unmet(f"{what}-lost", message, f"after {took:.1f} s: {_said(answer)}", command=REPAIR)
            time.sleep(ASK_AGAIN_S)

    def _get(self, url: str) -> HttpResponse:
        return self.http.ask("GET", url, ANSWER_WITHIN_S, {"Accept": "application/json"})

    def _post(self, url: str, body: str) -> HttpResponse:
        return self.http.ask("POST", url, ANSWER_WITHIN_S, _JSON, body.encode())


def reads_api(http: Http, title: str, url: str) -> Probe:
    """Return whether a URL that belongs to a program's own API is known to who answers."""
    answer = http.ask("GET", url, ANSWER_WITHIN_S, {})
    if answer.status in _UNKNOWN:
        name = title.lower()
        return unmet(
            f"{name}-other",
            f"What answers at {url.rpartition(':')[0]}:{url.rpartition(':')[2].partition('/')[0]} is not {title}.",
            f"GET {url}: {answer.status}",
            fix=f"Look what is there; {title} of the stack belongs there",
        )
    if answer.status >= 500:
        return skipped(f"not known: it fails with HTTP {answer.status}")
    return Probe(f"{url}: HTTP {answer.status}")


def _refused(who: str, what: str, answer: HttpResponse) -> Probe:
    return unmet(f"{what}-refused", f"{who} refuses a {what}.", _said(answer), command=REPAIR)


def _said(answer: HttpResponse) -> str:
    return f"HTTP {answer.status} {' '.join(answer.text.split())[:300]}".rstrip()
