"""Spans as OTLP over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp), to a collector or a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.telemetry.cursors import TRACES
from contextcore_install.telemetry.exporters.client import StoreAnswer
from contextcore_install.telemetry.exporters.exporter import JSON_HEADERS, SERVICE, Exporter
from contextcore_install.telemetry.failures import Loss
from contextcore_install.telemetry.folds.fold import span_id, trace_id
from contextcore_install.telemetry.folds.traces import PREFIX, RunTrace, Span, TraceFold, Value

PATH = "/v1/traces"
_VALUES = {bool: "boolValue", int: "intValue", float: "doubleValue"}
INTERNAL, OK, ERROR = 1, 1, 2  # enums of trace.proto: SpanKind, StatusCode


class TraceExporter(Exporter[Span]):
    """Sends spans to a backend that cannot be asked what it has: one that is sent twice has the same ids."""

    fold = TraceFold
    cursor_prefix = TRACES

    def _send(self, items: Sequence[Span]) -> tuple[int, Loss | None]:
        body = json.dumps(encode(items)).encode()
        answer = self.client.request("POST", PATH, body=body, headers=JSON_HEADERS)
        what = f"POST {self.client.base_url}{PATH}"
        if not answer.ok:
            raise answer.failure(what)
        rejected, reason = partial_success(answer, what)
        return len(items) - rejected, Loss(rejected, f"saying: {reason or 'nothing'}") if rejected else None


def encode(spans: Sequence[Span]) -> dict[str, Any]:
    """Return the request that carries spans (ExportTraceServiceRequest): one resource for each run."""
    by_run: dict[RunTrace, list[dict[str, Any]]] = {}
    for span in spans:
        by_run.setdefault(span.run, []).append(_message(span))
    resources = []
    for run, messages in by_run.items():
        # By the names of OpenTelemetry's conventions where there is one
        shared = {"service.name": SERVICE, "service.version": run.version}
        shared |= {PREFIX + name: getattr(run, name) for name in ("cluster", "provider", "run_id")}
        scope = {"scope": {"name": SERVICE, "version": run.version}, "spans": messages}
        resources.append({"resource": {"attributes": _attributes(shared)}, "scopeSpans": [scope]})
    return {"resourceSpans": resources}


def partial_success(answer: StoreAnswer, what: str) -> tuple[int, str]:
    """Return how many spans were rejected, and why; raises StoreError for an answer that is not OTLP's."""
    try:
        found = answer.document(what, "OTLP answer").get("partialSuccess") or {} if answer.body.strip() else {}
        return max(0, int(found.get("rejectedSpans", 0))), str(found.get("errorMessage", ""))
    except (ValueError, AttributeError, TypeError, OverflowError) as error:
        raise answer.not_understood(what, "OTLP answer") from error


def _message(span: Span) -> dict[str, Any]:
    message = {
        **_ids(span.run.run_id, span.number),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": str(span.start_us * 1000),
        "endTimeUnixNano": str(span.end_us * 1000),
        "attributes": _attributes(span.attributes),
        "status": {"code": ERROR if span.error else OK, "message": span.error},
        "links": [_ids(span.link.run_id, span.link.number)] if span.link else [],
    }
    return message | ({"parentSpanId": span_id(span.run.run_id, span.parent)} if span.parent else {})


def _ids(run_id: str, number: int) -> dict[str, str]:
    return {"traceId": trace_id(run_id), "spanId": span_id(run_id, number)}


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    # 64-bit integers are text in protobuf's JSON.
    typed = [(name, type(value), str(value) if type(value) is int else value) for name, value in values.items()]
    return [{"key": name, "value": {_VALUES.get(kind, "stringValue"): value}} for name, kind, value in typed]
