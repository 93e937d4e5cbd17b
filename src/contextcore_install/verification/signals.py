"""Writes a log line and a span as a user's program would, and reads them back as a user would.

Loki: "Loki HTTP API" (push, query_range); Tempo: "Tempo HTTP API" (query a trace by its id, query echo);
spans: OTLP/HTTP with JSON, which collector and store accept alike ("OTLP Specification", OTLP/HTTP).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import REPAIR
from contextcore_install.core.interfaces import Http, HttpResponse
from contextcore_install.core.provider import Probe
from contextcore_install.verification.results import skipped, unmet

ANSWER_WITHIN_S = 3.0
POLL_S = 0.1
SERVICE = "contextcore-install"
_JSON = {"Content-Type": "application/json"}
_UNKNOWN = frozenset({404, 405, 501})  # what a program answers to a path or a method that it does not have


@dataclass(frozen=True, slots=True)
class Signals:
    """Writes and reads for one installation. `now_us` gives UTC in microseconds since 1970.

    What was accepted may stay unseen for `visible_within_s`: a collector batches spans.
    """

    http: Http
    cluster: str
    now_us: Callable[[], int]
    visible_within_s: float

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

    def span(self, receiver: str, tempo: str) -> Probe:
        """Send a span to what accepts spans, and ask Tempo for its trace."""
        echo = self._get(f"{tempo}/api/echo")
        if echo.status in _UNKNOWN:
            return skipped(f"what answers at {tempo} is not Tempo: GET /api/echo is {echo.status}")
        trace = secrets.token_hex(16)
        sent = self._post(f"{receiver}/v1/traces", json.dumps(self._span(trace)))
        if not 200 <= sent.status < 300:
            return _refused(f"{receiver}/v1/traces", "span", sent)
        # A trace that is not there is 404, so that says nothing of who answers.
        return self._until_seen("Tempo", "span", f"{tempo}/api/traces/{trace}", "probe", other=frozenset())

    def _span(self, trace: str) -> dict[str, object]:
        ended_ns = self.now_us() * 1000
        resource = {"service.name": SERVICE, "contextcore.cluster": self.cluster}
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
        span = {"traceId": trace, "spanId": secrets.token_hex(8), "name": "probe", "kind": 1}
        span |= {"startTimeUnixNano": str(ended_ns - 10**6), "endTimeUnixNano": str(ended_ns)}
        scope = {"scope": {"name": SERVICE}, "spans": [span]}
        return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}

    def _until_seen(self, store: str, what: str, url: str, token: str, other: frozenset[int]) -> Probe:
        began = time.monotonic()
        while True:
            answer = self._get(url)
            took = time.monotonic() - began
            if answer.status == 200 and token in answer.text:
                return Probe(f"written, and read back after {took:.1f} s")
            if answer.status in other:
                return skipped(f"what answers is not {store}: GET {url.partition('?')[0]} is {answer.status}")
            if answer.status not in {200, 404} or took + POLL_S > self.visible_within_s:
                message = f"{store} accepted a {what} and does not show it."
                return unmet(f"{what}-lost", message, f"after {took:.1f} s: {said(answer)}", command=REPAIR)
            time.sleep(POLL_S)

    def _get(self, url: str) -> HttpResponse:
        return self.http.ask("GET", url, ANSWER_WITHIN_S, {"Accept": "application/json"})

    def _post(self, url: str, body: str) -> HttpResponse:
        return self.http.ask("POST", url, ANSWER_WITHIN_S, _JSON, body.encode())


def answers_as(title: str, url: str, answer: HttpResponse, *, other: bool | None = None) -> Probe:
    """Judge by the answer of a URL of a program's own API whether that program answers; `other` if not."""
    if answer.status in _UNKNOWN if other is None else other:
        return unmet(
            f"{title.lower()}-other",
            f"What answers at {urlsplit(url).scheme}://{urlsplit(url).netloc} is not {title}.",
            f"GET {url}: {said(answer)}",
            fix=f"See what runs there in the place of the stack's {title}",
        )
    if answer.status >= 500:
        return skipped(f"not known: it fails with HTTP {answer.status}")
    return Probe(f"{url}: HTTP {answer.status}")


def json_object(answer: HttpResponse) -> dict[str, Any]:
    """Return the JSON object in an answer; empty if there is none."""
    try:
        document = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def said(answer: HttpResponse) -> str:
    """Return an answer on one line, for people."""
    message = str(json_object(answer).get("message", "")) or " ".join(answer.text.split())
    return f"HTTP {answer.status} {message[:300]}".rstrip()


def _refused(who: str, what: str, answer: HttpResponse) -> Probe:
    return unmet(f"{what}-refused", f"{who} refuses a {what}.", said(answer), command=REPAIR)
