"""Who takes spans and lines on loopback: a real collector, and servers that check each request by the protocol.

The collector is Rotel, a program that PyPI carries: it decodes what it is sent and hands it on over OTLP to the
`SpanStore` behind it, as Alloy does to Tempo. No package carries Loki or Tempo; `LogStore` answers as Loki does.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson, ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.system.packages import packages
from contextcore_install.system.packages.apt import runner
from kit.stores import CACHE, fetched, free_ports, wait_until

LOCK = Path(__file__).with_name("rotel.lock")
_AGENT = "rotel/rotel-agent"


@dataclass(frozen=True)
class Kept:
    """A span as it was received; ids in hexadecimal, times in nanoseconds."""

    trace: str
    id: str
    parent: str
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    error: str
    links: tuple[tuple[str, str], ...]


class Server:
    """An HTTP server on loopback that keeps every body it was sent; it can be stopped and started again."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[bytes] = []
        self.wrong: list[str] = []
        self.port = port
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                world.bodies.append(body)
                status, kind, text = world.answer(self, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        raise NotImplementedError

    def _expect(self, *, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


class SpanStore(Server):
    """Takes OTLP over HTTP, and notes whatever the protocol forbids. `reject` makes it refuse some spans for good."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.received: list[Kept] = []
        self.reject: Callable[[Span], bool] = lambda span: False

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        self._expect(holds=request.path == "/v1/traces", what=f"path {request.path}")
        kind = request.headers.get("Content-Type", "")
        in_json = kind == "application/json"  # the program's own; the collector hands on what it takes as protobuf
        self._expect(holds=in_json or kind == "application/x-protobuf", what=f"content type {kind}")
        response = ExportTraceServiceResponse()
        for spans in (_from_json(body) if in_json else ExportTraceServiceRequest.FromString(body)).resource_spans:
            resource = _values(spans.resource.attributes)
            self._expect(holds=resource.get("service.name") == "contextcore-install", what=str(resource))
            for span in (span for scope in spans.scope_spans for span in scope.spans):
                self._check(span)
                if self.reject(span):
                    response.partial_success.rejected_spans += 1
                    response.partial_success.error_message = "too much of it"
                else:
                    self.received.append(_kept(span, resource))
        return 200, kind, MessageToJson(response).encode() if in_json else response.SerializeToString()

    def _check(self, span: Span) -> None:
        self._expect(holds=len(span.trace_id) == 16 and any(span.trace_id), what=f"trace id of {span.name}")
        self._expect(holds=len(span.span_id) == 8 and any(span.span_id), what=f"span id of {span.name}")
        self._expect(holds=len(span.parent_span_id) in {0, 8}, what=f"parent of {span.name}")
        self._expect(holds=bool(span.name), what="a span without a name")
        self._expect(holds=0 < span.start_time_unix_nano <= span.end_time_unix_nano, what=f"times of {span.name}")
        said = bool(span.status.message) == (span.status.code == Status.STATUS_CODE_ERROR)
        self._expect(holds=said, what=f"status of {span.name}")
        for link in span.links:
            self._expect(holds=len(link.trace_id) == 16 and len(link.span_id) == 8, what="a link")

    @property
    def spans(self) -> dict[str, Kept]:
        """The spans by their ids, each once; one that came twice must have been the same."""
        found: dict[str, Kept] = {}
        for span in list(self.received):
            assert found.setdefault(span.id, span) == span, f"{span.name} came twice, and differs"
        return found

    def complete(self) -> bool:
        """Whether every span's parent is there."""
        return all(not span.parent or span.parent in self.spans for span in self.spans.values())

    def trace(self, trace: str) -> list[Kept]:
        return [span for span in self.spans.values() if span.trace == trace]


def _kept(span: Span, resource: dict[str, Any]) -> Kept:
    return Kept(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        resource,
        span.status.message,
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """Read OTLP's JSON, in which ids are hexadecimal, where protobuf's own JSON has base64."""

    def with_base64(item: dict[str, Any]) -> dict[str, Any]:
        ids = {name: value for name, value in item.items() if name in {"traceId", "spanId", "parentSpanId"}}
        return item | {name: b64encode(bytes.fromhex(value)).decode() for name, value in ids.items()}

    return ParseDict(json.loads(body, object_hook=with_base64), ExportTraceServiceRequest())


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


class LogStore(Server):
    """Takes lines as Loki does; those before `oldest_us` are ignored with the answer that Loki 3 gives."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.lines: list[tuple[tuple[tuple[str, str], ...], int, str]] = []
        self.oldest_us = 0

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        self._expect(holds=request.path == "/loki/api/v1/push", what=f"path {request.path}")
        kind = request.headers.get("Content-Type", "")
        self._expect(holds=kind == "application/json", what=f"content type {kind}")
        refused = ""
        for stream in json.loads(body)["streams"]:
            labels = stream["stream"]
            self._expect(holds=set(labels) == {"service_name", "cluster", "level"}, what=str(labels))
            for at, line in stream["values"]:
                self._expect(holds=isinstance(at, str) and len(at) == 19, what=f"a time like {at}")
                if int(at) < self.oldest_us * 1000:
                    refused = _too_old(labels, int(at), self.oldest_us)
                else:
                    self.lines.append((tuple(sorted(labels.items())), int(at), line))
        return (400, "text/plain", refused.encode()) if refused else (204, "text/plain", b"")

    def documents(self) -> list[dict[str, Any]]:
        """Return what the lines hold, each once, as Loki keeps the same line once, in the order of time."""
        return [json.loads(line) for _, _, line in sorted(Counter(self.lines), key=lambda item: item[1])]


def _too_old(labels: dict[str, str], at: int, oldest_us: int) -> str:
    """Return what Loki says of a line that is too old (pkg/validation/validate.go, Loki 3)."""
    from datetime import UTC, datetime

    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"

    named = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return (
        f"entry for stream '{{{named}}}' has timestamp too old: {moment(at / 1e9)},"
        f" oldest acceptable timestamp is: {moment(oldest_us / 1e6)}\n"
    )


@dataclass
class Collector:
    """Rotel's process: takes OTLP over HTTP at `url`, and hands it on to `store`."""

    store: SpanStore
    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> Collector:
        http, grpc = (f"127.0.0.1:{port}" for port in self.ports)
        argv = [str(rotel()), "start", "--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
        argv += ["--exporter", "otlp", "--otlp-exporter-protocol", "http"]
        argv += ["--otlp-exporter-endpoint", self.store.url, "--disable-batching"]
        with (self.folder / "rotel.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._listens, f"rotel does not listen: {self.folder / 'rotel.log'}", limit_s=60)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        if self.process and self.process.poll() is not None:
            pytest.skip(f"rotel does not run here: {(self.folder / 'rotel.log').read_text()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports[0])) == 0


def rotel() -> Path:
    """Return where Rotel's program is, fetching its package where it is nowhere."""

    def fetch(folder: Path) -> None:
        workdir = CACHE / "rotel-work"
        for made in (folder, workdir):
            made.mkdir(exist_ok=True)
        packages.install(LOCK, folder, workdir=workdir, run=runner())
        (folder / _AGENT).chmod(0o755)

    return fetched(CACHE / "rotel", fetch) / _AGENT


@pytest.fixture
def span_store() -> Iterator[SpanStore]:
    """A store that takes spans; whatever the protocol forbids fails the test."""
    yield from _running(SpanStore())


@pytest.fixture
def log_store() -> Iterator[LogStore]:
    """A store that takes lines."""
    yield from _running(LogStore())


@pytest.fixture
def collector(tmp_path: Path, span_store: SpanStore) -> Iterator[Collector]:
    """A real collector in front of the span store."""
    found = Collector(span_store, tmp_path).start()
    yield found
    found.stop()


def _running(server: Any) -> Iterator[Any]:
    server.start()
    yield server
    server.stop()
    assert server.wrong == []
