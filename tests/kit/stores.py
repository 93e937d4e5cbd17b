"""Real metrics stores on loopback, a journal in memory, and servers that misbehave: a pytest plugin."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.system.packages import apt
from contextcore_install.telemetry.exporters.backends import Backend, Series, probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.exporters.metrics import PROBE_NAME
from contextcore_install.telemetry.failures import Timeouts

CACHE = Path(__file__).resolve().parents[2] / ".cache"
TIMEOUTS = Timeouts(2.0, 10.0)
MINUTE_US = 60_000_000


def program(name: str) -> str:
    """Return where a store's program is, fetching the distribution's package where it is nowhere."""
    package = CACHE / "stores" / name
    places = [os.environ.get("CONTEXTCORE_TEST_BIN", ""), str(CACHE / "bin"), str(package / "usr/bin")]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *filter(None, places)])
    if found := shutil.which(name, path=path):
        return found
    fetch = partial(apt.download_and_unpack, name, workdir=CACHE / "apt", run=apt.runner())
    return str(fetched(package, fetch) / "usr/bin" / name)


def fetched(folder: Path, fetch: Callable[[Path], object]) -> Path:
    """Return a folder of the cache, which appears when it is whole: a program still written cannot be run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE / "fetched.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        if not folder.exists():
            unfinished = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                fetch(unfinished)
            except InstallError as error:
                pytest.skip(f"no {folder.name} here, and none to be had: {error}: {error.evidence}")
            unfinished.rename(folder)
    return folder


_PORTS_EACH = 600
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_turn = itertools.count(os.getpid())


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, no two alike.

    They are below those that systems give to connections going out and that the program chooses from, and each worker
    has its own: so that nobody takes one before it is used. Each has its turn, so that none is given away again soon.
    """
    first, found = 15_000 + _WORKER * _PORTS_EACH, list[int]()
    while len(found) < count:
        port = first + next(_turn) % _PORTS_EACH
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


@dataclass
class Store:
    """A store's process. `wipe` is what a lost volume does to it; `arguments` follow the usual ones."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    config: str = "{}"
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Store:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "prometheus.yml").write_text(self.config)
        data, address = self.folder / "data", f"127.0.0.1:{self.port}"
        command = {
            "prometheus": [
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={address}",
            ],
            "victoria-metrics": [f"-storageDataPath={data}", f"-httpListenAddr={address}", "-search.latencyOffset=0s"],
        }[self.name]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program(self.name), *command, *self.arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(self._ready, f"{self.name} is not ready: {self.folder / 'log'}", limit_s=90)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def crash(self) -> None:
        """End it as `kill -9` does: what it had only in memory is lost."""
        assert self.process
        self.process.kill()
        self.process.wait()
        self.process = None

    def wipe(self) -> None:
        shutil.rmtree(self.folder / "data")

    def backend(self) -> tuple[Client, Backend]:
        client = Client(self.url, lambda: TIMEOUTS)
        return client, probe(client)

    def shown(self, cluster: str, *, days: int = 12) -> Series:
        """Return all that a query shows of a cluster, but for what a verification writes to try the store out."""
        client, backend = self.backend()
        if self.name == "victoria-metrics":
            client.request("GET", "/internal/force_flush")
        now_ms = int(time.time() * 1000)
        found = backend.raw_samples({"cluster": cluster}, now_ms - days * 86_400_000, now_ms + 60_000)
        client.close()
        return {series: samples for series, samples in found.items() if series[0] != PROBE_NAME}

    def count(self, cluster: str) -> int:
        """Return how many samples a query counts: a sample that is there twice counts twice."""
        client, backend = self.backend()
        expression = f'{{__name__=~"contextcore_.+",__name__!="{PROBE_NAME}",cluster="{cluster}"}}[20d]'
        found = backend.query(expression, int(time.time() * 1000) + 60_000)
        client.close()
        return sum(len(series["values"]) for series in found)

    def _ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


RECEIVER = "--web.enable-remote-write-receiver"
OUT_OF_ORDER = "storage: {tsdb: {out_of_order_time_window: 30d}}"
DEDUPLICATION = "-dedup.minScrapeInterval=1ms"


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Make stores of this test alone."""
    stores: list[Store] = []

    def make(name: str, *arguments: str, config: str = "{}") -> Store:
        store = Store(name, tmp_path / f"store{len(stores)}", config=config, arguments=arguments)
        stores.append(store)
        return store.start()

    yield make
    for store in stores:
        store.stop()


def _shared(tmp: pytest.TempPathFactory, store_name: str, *arguments: str, config: str = "{}") -> Iterator[Store]:
    store = Store(store_name, tmp.mktemp("store"), config=config, arguments=arguments)
    try:
        yield store.start()
    finally:
        store.stop()


@pytest.fixture(scope="session")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A VictoriaMetrics for all tests; each uses a cluster name of its own."""
    yield from _shared(tmp_path_factory, "victoria-metrics", DEDUPLICATION)


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A Prometheus that takes samples in any order."""
    yield from _shared(tmp_path_factory, "prometheus", RECEIVER, config=OUT_OF_ORDER)


@pytest.fixture(scope="session")
def strict_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A Prometheus as it is by default: each series in order, nothing much older than the newest sample."""
    yield from _shared(tmp_path_factory, "prometheus", RECEIVER)


@pytest.fixture(params=["victoria", "prometheus", "strict_prometheus"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the shared stores."""
    found: Store = request.getfixturevalue(request.param)
    return found


def wait_until(condition: Callable[[], object], what: str = "", limit_s: float = 120.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class MemoryJournal:
    """An EventSource with a pen. Positions are indexes."""

    def __init__(self, at_us: int) -> None:
        self.events: list[Event] = []
        self.at_us = at_us

    def read(self, position: int) -> Iterator[tuple[int, Event]]:
        yield from enumerate(self.events[position:], position)

    def add(self, run_id: str, kind: Kind, step: str = "", *, after_us: int = 1000, **data: Any) -> Event:
        self.at_us += after_us
        number = self.events[-1].number + 1 if self.events else 1
        event = Event(number, self.at_us, run_id, kind, step, data)
        self.events.append(event)
        return event

    def begin(self, run_id: str, *, after_us: int = MINUTE_US) -> None:
        self.add(run_id, Kind.RUN_STARTED, after_us=after_us, mode="run", version="1.2.3")
        if len(self.events) == 1:
            self.add(run_id, Kind.INSTALLATION_STARTED, installation_id="i1", provider="host")

    def steps(self, run_id: str, *, step_us: int = 700) -> None:
        for step in STEP_IDS:
            self.add(run_id, Kind.STEP_CHECKING, step, after_us=step_us)
            self.add(run_id, Kind.STEP_STARTED, step, after_us=step_us, attempt=1)
            self.add(run_id, Kind.STEP_COMPLETED, step, after_us=step_us, duration_seconds=0.5)

    def end(self, run_id: str) -> None:
        self.add(run_id, Kind.RUN_FINISHED, outcome="succeeded")

    def whole_run(self, run_id: str, *, after_us: int = MINUTE_US, step_us: int = 700) -> None:
        self.begin(run_id, after_us=after_us)
        self.steps(run_id, step_us=step_us)
        self.end(run_id)


class MemoryCursors:
    """A CursorStore that can fail."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.failure: Exception | None = None

    def load(self) -> dict[str, dict[str, Any]]:
        return dict(self.kept)

    def save(self, cursors: Mapping[str, Mapping[str, Any]]) -> None:
        if self.failure:
            raise self.failure
        self.kept = {name: dict(cursor) for name, cursor in cursors.items()}


@dataclass
class Misbehaving:
    """A server that says it is a VictoriaMetrics; what it does with a request is `reply`'s business."""

    server: ThreadingHTTPServer
    requests: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


Reply = Callable[[Misbehaving, BaseHTTPRequestHandler], object]


def answer(
    handler: BaseHTTPRequestHandler, status: int, text: str = "", headers: Mapping[str, str] | None = None
) -> None:
    """Send an answer."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())


EMPTY_RESULT = '{"status":"success","data":{"resultType":"matrix","result":[]}}'


def healthy(handler: BaseHTTPRequestHandler) -> bool:
    """Answer what a store is asked besides writes, and say whether that was it."""
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    if handler.path.startswith("/-/healthy"):
        answer(handler, 200, "VictoriaMetrics is Healthy.")
    elif "/api/v1/query" in handler.path:
        answer(handler, 200, EMPTY_RESULT)
    elif handler.command == "POST" and len(body) < 3:
        answer(handler, 204)
    else:
        return False
    return True


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Reply], Misbehaving]]:
    """Make servers whose answers the test decides on."""
    running: list[Misbehaving] = []

    def make(reply: Reply) -> Misbehaving:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
                pass

            def do_POST(self) -> None:
                world.requests.append(f"{self.command} {self.path}")
                kept = self.rfile  # what a reply leaves unread of the body would be taken for the next request
                self.rfile = BytesIO(kept.read(int(self.headers.get("Content-Length", 0))))
                try:
                    reply(world, self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    self.rfile = kept

            do_GET = do_POST  # noqa: N815 - its name upstream

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        world = Misbehaving(server)
        running.append(world)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return world

    yield make
    for world in running:
        world.released.set()
        world.server.shutdown()
        world.server.server_close()
