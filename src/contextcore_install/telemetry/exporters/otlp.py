"""Spans as OTLP over HTTP, to a collector or a store.

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp; messages: the package opentelemetry-proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contextcore_install.telemetry.cursors import TRACES
from contextcore_install.telemetry.exporters.client import StoreAnswer
from contextcore_install.telemetry.exporters.exporter import Exporter
from contextcore_install.telemetry.failures import Loss, Timeouts
from contextcore_install.telemetry.folds.fold import span_id, trace_id
from contextcore_install.telemetry.folds.traces import PREFIX, RunTrace, Span, TraceFold, Value

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"
SERVICE = "contextcore-install"
HEADERS = {"Content-Type": "application/x-protobuf", "User-Agent": SERVICE}


class TraceExporter(Exporter[Span]):
    """Sends spans to a collector, or to a store itself.

    It cannot be asked what it has. A span that is sent twice has the same ids, and is one span to whoever reads it.
    """

    fold = TraceFold
    cursor_prefix = TRACES

    def _send(self, items: Sequence[Span], timeouts: Callable[[], Timeouts]) -> tuple[int, Loss | None]:
        body = encode(items).SerializeToString()
        answer = self.client.request("POST", PATH, timeouts(), body=body, headers=HEADERS)
        what = f"POST {self.client.base_url}{PATH}"
        if not answer.ok:
            raise answer.failure(what)
        rejected, reason = partial_success(answer, what)
        return len(items) - rejected, Loss(rejected, f"saying: {reason or 'nothing'}") if rejected else None


def encode(spans: Sequence[Span]) -> ExportTraceServiceRequest:
    """Return the request that carries spans: one resource for each run."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    scopes: dict[RunTrace, Any] = {}
    for span in spans:
        scope = scopes.get(span.run)
        if scope is None:
            resource_spans = request.resource_spans.add()
            _put(resource_spans.resource.attributes, _resource(span.run))
            scope = scopes[span.run] = resource_spans.scope_spans.add()
            scope.scope.name, scope.scope.version = SERVICE, span.run.version
        scope.spans.append(_message(span))
    return request


def partial_success(answer: StoreAnswer, what: str) -> tuple[int, str]:
    """Return how many spans were rejected, and why; raises StoreError for an answer that is none of OTLP's.

    A server answers in the encoding that it was asked in (OTLP 1.0, "OTLP/HTTP Response"); some answer in JSON all
    the same.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        if answer.body.lstrip().startswith(b"{"):
            found = answer.document(what, "OTLP answer").get("partialSuccess") or {}
            return max(0, int(found.get("rejectedSpans", 0))), str(found.get("errorMessage", ""))
        message = ExportTraceServiceResponse.FromString(answer.body).partial_success
        return max(0, message.rejected_spans), message.error_message
    except (DecodeError, ValueError, AttributeError, TypeError, OverflowError) as error:
        raise answer.not_understood(what, "OTLP answer") from error


def _resource(run: RunTrace) -> dict[str, Value]:
    """Return what a run's spans share, by the names of OpenTelemetry's conventions where there is one."""
    return {
        "service.name": SERVICE,
        "service.version": run.version,
        f"{PREFIX}cluster": run.cluster,
        f"{PREFIX}provider": run.provider,
        f"{PREFIX}run_id": run.run_id,
    }


def _message(span: Span) -> Any:
    from opentelemetry.proto.trace.v1 import trace_pb2 as proto

    run_id = span.run.run_id
    trace, own = _ids(run_id, span.number)
    message = proto.Span(
        trace_id=trace,
        span_id=own,
        parent_span_id=_ids(run_id, span.parent)[1] if span.parent else b"",
        name=span.name,
        kind=proto.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_us * 1000,
        end_time_unix_nano=span.end_us * 1000,
    )
    _put(message.attributes, span.attributes)
    message.status.code = proto.Status.STATUS_CODE_ERROR if span.error else proto.Status.STATUS_CODE_OK
    message.status.message = span.error
    if span.link:
        trace, linked = _ids(span.link.run_id, span.link.number)
        message.links.add(trace_id=trace, span_id=linked)
    return message


def _ids(run_id: str, number: int) -> tuple[bytes, bytes]:
    return bytes.fromhex(trace_id(run_id)), bytes.fromhex(span_id(run_id, number))


def _put(attributes: Any, values: Mapping[str, Value]) -> None:
    fields = {bool: "bool_value", int: "int_value", float: "double_value"}
    for name, value in values.items():
        setattr(attributes.add(key=name).value, fields.get(type(value), "string_value"), value)
