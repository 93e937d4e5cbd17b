"""What shipping metrics, spans and lines costs a run, and how fast a store that is behind is served."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from finished import free_port
from measure import FOLDER, ROOT, Command, answer, environment, once
from report import Row, Section

sys.path.insert(0, str(ROOT / "tests"))
from kit.stores import Store

MOST_SHARE = 0.01
BEHIND, MOST_BEHIND_S = 10_000, 1.0
WITHOUT, UP, DOWN, HANGING, REFUSING = "without telemetry", "up", "down", "hanging", "refusing"

_FIRST_START = """\
import sys
sys.path.insert(0, "benchmarks")
import telemetry_behind, telemetry_run
from contextcore_install.telemetry.exporters import backends, loki, metrics, otlp
otlp.encode(()), backends.encode(())
"""
"""Leaves the bytecode of all that the runs import, so that the first turn is like the others."""

Urls = tuple[str, str, str]
Figures = dict[str, list[tuple[float, float]]]
"""Seconds that a run took, and its seconds of CPU, by how the backends were; a turn's belong together."""


def measure(runs: int) -> Section:
    """Measure runs beside each other: one that ships nothing, and one for each way of backends to be."""
    figures: Figures = {}
    with ExitStack() as stack:
        store = stack.enter_context(_victoria())
        ways = {
            WITHOUT: ("-", "-", "-"),
            UP: (store, *stack.enter_context(_answering(200))),
            DOWN: tuple(f"http://127.0.0.1:{free_port()}" for _ in range(3)),
            HANGING: (*stack.enter_context(_answering(0)), "-"),
            REFUSING: (*stack.enter_context(_answering(403)), "-"),
        }
        for name in (HANGING, REFUSING):
            ways[name] = (*ways[name][:2], ways[name][0])
        once(Command([sys.executable, "-S", "-c", _FIRST_START]))
        for _ in range(runs):
            for name, figure in _side_by_side(ways).items():
                figures.setdefault(name, []).append(figure)
        behind = [_figure(answer(_script("telemetry_behind.py", store, str(BEHIND)))) for _ in range(runs)]
    return _section(figures, behind, runs)


def _side_by_side(ways: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Run once each way, all at the same time, so that a busy moment meets them all: they wait most of the time."""
    started = {}
    for name, urls in ways.items():
        command = _script("telemetry_run.py", *urls)
        started[name] = subprocess.Popen(command.argv, cwd=ROOT, env=environment({}), stdout=subprocess.PIPE, text=True)
    figures = {}
    for name, process in started.items():
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"the run with backends {name}: exit code {process.returncode}")
        figures[name] = _figure(said)
    return figures


def _figure(said: str) -> tuple[float, float]:
    seconds, cpu = map(float, said.split())
    return seconds, cpu


def _script(name: str, *arguments: str) -> Command:
    return Command([sys.executable, "-S", str(ROOT / "benchmarks" / name), *arguments])


@contextmanager
def _victoria() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="store-", dir=FOLDER) as folder:
        store = Store("victoria-metrics", Path(folder)).start()
        try:
            yield store.url
        finally:
            store.stop()


@contextmanager
def _answering(status: int) -> Iterator[tuple[str, str]]:
    """Have two servers that answer each request with a status; 0 stands for no answer at all."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not status:
                over.wait()
            self.send_response(status or 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the base class looks for this name

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        first, second = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
        yield first, second
    finally:
        over.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def _section(figures: Figures, behind: list[tuple[float, float]], runs: int) -> Section:
    length = statistics.median(seconds for seconds, _ in figures[WITHOUT])
    rows = [Row(f"a run of {length:.0f} s {WITHOUT}", f"{_median_cpu(figures[WITHOUT]) * 1e3:.0f} ms of CPU")]
    for name in (UP, DOWN, HANGING, REFUSING):
        pairs = list(zip(figures[name], figures[WITHOUT], strict=True))
        time = statistics.median(ours[0] - bare[0] for ours, bare in pairs)
        cpu = statistics.median(ours[1] - bare[1] for ours, bare in pairs)
        rows.append(
            Row(
                f"added by telemetry, its backends {name}",
                f"{time * 1e3:.0f} ms, {cpu * 1e3:.0f} ms of CPU",
                f"{time / length:.2%} and {cpu / length:.2%} of the run",
                f"< {MOST_SHARE:.0%} each",
                max(time, cpu) < MOST_SHARE * length,
            )
        )
    late = statistics.median(seconds for seconds, _ in behind)
    rows.append(
        Row(
            f"{BEHIND:,} samples behind, sent to a local VictoriaMetrics",
            f"{late:.2f} s, {_median_cpu(behind) * 1e3:.0f} ms of CPU",
            f"{BEHIND / late:,.0f} samples/s",
            f"< {MOST_BEHIND_S:.0f} s",
            late < MOST_BEHIND_S,
        )
    )
    return Section("What telemetry costs", rows, _NOTE.format(runs=runs))


def _median_cpu(figures: list[tuple[float, float]]) -> float:
    return statistics.median(cpu for _, cpu in figures)


_NOTE = """\
{runs} turns. The run carries out six steps with 60 commands that print 1,200 lines, recorded on disk as every run is;
metrics are shipped each second, spans and lines each five. In each turn all five ways run at once, as they wait most
of it. CPU is that of the whole process, importing what talks HTTP included (from bytecode, as after any
first start), as a share of one core. `up` is a real VictoriaMetrics, and servers that say yes to spans and lines.
Samples that are behind are read from the journal, folded, sent and noted; the process's start is not counted."""


if __name__ == "__main__":
    from report import as_text

    FOLDER.mkdir(parents=True, exist_ok=True)
    print(as_text([measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1)]))
