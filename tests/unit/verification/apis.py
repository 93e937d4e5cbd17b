"""Grafana, Loki and Tempo as far as a verification asks them: servers on loopback, which can refuse, fail and hang.

No package carries these programs. Paths, answers and errors are those of Grafana's "HTTP API reference" (Organization,
Data source, Dashboard, Alerting provisioning), "Loki HTTP API", "Tempo HTTP API", and the OTLP specification.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from contextcore_install.core.dataclass import dataclass, field

Answer = tuple[int, Any]
NOT_FOUND: Answer = (404, "404 page not found\n")
DASHBOARD = "contextcore-installation"
RULE = "contextcore-installation-failed"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Api:
    """A server: `hangs` never answers, `failing` is a status for everything, `other` knows its `ready` path alone."""

    ready = "/ready"

    def __init__(self) -> None:
        self.hangs = self.other = False
        self.failing = 0
        self.asked: list[Request] = []
        self._end = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        assert self._server
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
                pass

            def do_GET(self) -> None:
                api._handle(self)

            do_POST = do_GET  # noqa: N815 - its name upstream

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._end.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        request = Request(
            handler.command,
            parts.path,
            {name: values[0] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0)),
        )
        self.asked.append(request)
        if self.hangs:
            self._end.wait()
            return
        status, body = self._answer(request)
        text = body if isinstance(body, str) else json.dumps(body)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    def _answer(self, request: Request) -> Answer:
        if self.failing:
            return self.failing, {"message": "An unexpected error happened"}
        if request.path == self.ready:
            return 200, self.readiness()
        return NOT_FOUND if self.other else self.answer(request)

    def readiness(self) -> Any:
        return "ready\n"

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError


def source_error(message: str) -> Answer:
    return 400, {"message": message, "status": "ERROR"}


class GrafanaApi(Api):
    """`password` is its admin's; `health` what a data source's plugin says."""

    ready = "/api/health"

    def __init__(self, password: str) -> None:
        super().__init__()
        self.password = password
        good: Answer = (200, {"message": "Successfully queried the API.", "status": "OK"})
        self.health: dict[str, Answer] = dict.fromkeys(("mimir", "loki", "tempo"), good)
        self.dashboards: dict[str, Any] = {DASHBOARD: {"panels": [{"datasource": {"uid": "mimir"}}]}}
        self.rules = [RULE]
        self.broken_proxy = False

    def readiness(self) -> Any:
        return {"commit": "087143285", "database": "ok", "version": "13.2.3"}

    def answer(self, request: Request) -> Answer:
        token = base64.b64encode(f"admin:{self.password}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {token}":
            return 401, {"message": "Invalid username or password", "messageId": "password-auth.failed"}
        match request.path.strip("/").split("/"):
            case ["api", "org"]:
                return 200, {"id": 1, "name": "Main Org."}
            case ["api", "dashboards", "uid", uid] if uid in self.dashboards:
                return 200, {"dashboard": {"uid": uid, **self.dashboards[uid]}, "meta": {"provisioned": True}}
            case ["api", "dashboards", "uid", _]:
                return 404, {"message": "Dashboard not found", "status": "not-found"}
            case ["api", "v1", "provisioning", "alert-rules"]:
                return 200, [{"uid": uid, "title": uid, "provenance": "file"} for uid in self.rules]
            case ["api", "datasources", "uid", uid, *rest]:
                return self._source(uid, rest)
            case ["api", "datasources", "proxy", "uid", uid, *_] if uid in self.health:
                return (502, {"message": "Bad Gateway"}) if self.broken_proxy else (200, {"status": "success"})
        return 404, {"message": "Not found"}

    def _source(self, uid: str, rest: list[str]) -> Answer:
        if uid not in self.health:
            return 404, {"message": "Data source not found"}
        if not rest:
            return 200, {"id": 1, "uid": uid}
        return self.health[uid]


class LokiApi(Api):
    """`loses` takes lines and shows none; `late` shows a line when it is asked for so many times."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.loses = False
        self.late = 0

    def answer(self, request: Request) -> Answer:
        if request.path == "/loki/api/v1/push":
            for stream in json.loads(request.body)["streams"]:
                self.lines += stream["values"]
            return 204, ""
        if request.path == "/loki/api/v1/query_range":
            self.late -= 1
            wanted = request.query["query"].rpartition('|= "')[2].rstrip('"')
            span = range(int(request.query["start"]), int(request.query["end"]))
            hidden = self.loses or self.late >= 0
            found = [line for line in self.lines if int(line[0]) in span and wanted in line[1] and not hidden]
            result = [{"stream": {"level": "debug"}, "values": found}] if found else []
            return 200, {"status": "success", "data": {"resultType": "streams", "result": result}}
        if request.path == "/loki/api/v1/labels":
            return 200, {"status": "success", "data": ["level"]}
        return NOT_FOUND


class TempoApi(Api):
    """Takes spans itself. `loses` takes them and shows none; `late` as with Loki."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[str, dict[str, Any]] = {}
        self.loses = False
        self.late = 0

    def answer(self, request: Request) -> Answer:
        if request.path == "/v1/traces":
            for batch in json.loads(request.body)["resourceSpans"]:
                for span in batch["scopeSpans"][0]["spans"]:
                    self.spans[span["traceId"]] = batch
            return 200, {"partialSuccess": {}}
        if request.path == "/api/echo":
            return 200, "echo"
        if request.path.startswith("/api/traces/"):
            self.late -= 1
            batch = self.spans.get(request.path.rpartition("/")[2])
            if batch is None or self.loses or self.late >= 0:
                return 404, "trace not found"
            return 200, {"batches": [batch]}
        return NOT_FOUND


@dataclass
class Apis:
    """The three of them."""

    grafana: GrafanaApi
    loki: LokiApi = field(default_factory=LokiApi)
    tempo: TempoApi = field(default_factory=TempoApi)

    def all(self) -> list[Api]:
        return [self.grafana, self.loki, self.tempo]

    def each(self, act: Callable[[Api], object]) -> None:
        for api in self.all():
            act(api)
