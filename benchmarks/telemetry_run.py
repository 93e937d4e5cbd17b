"""Runs a plan as long and as eventful as an installation's, recorded on disk, and ships it or not.

Arguments: the URLs of the metrics store, of who takes spans, and of Loki, `-` for none; without any, nothing ships.
Prints the seconds that the run took from its first event to its end, and its seconds of CPU.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.outcome import Outcome
from contextcore_install.engine.plan import ONCE, Plan
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.system.clock import SystemClock
from contextcore_install.telemetry.shipper import Shipper

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
CLUSTER = "bench"
COMMANDS_A_STEP = 10
COMMAND_S = 1.0
LINES_A_COMMAND = 20
_MISSING = CheckResult("", (Finding("missing", "not there yet"),))


class Scripted:
    """A step that does what an installation's does, without doing it: parts, commands, what they print, time."""

    title = "a step"
    retry = ONCE
    timeout_s = 3600.0

    def __init__(self, step_id: str, needs: tuple[str, ...]) -> None:
        self.id = step_id
        self.needs = needs
        self._done = False

    def check(self, ctx: StepContext) -> CheckResult:
        return CheckResult("there") if self._done else _MISSING

    def apply(self, ctx: StepContext) -> None:
        for number in range(COMMANDS_A_STEP):
            with ctx.part(f"part {number}"):
                ctx.activity(f"doing {number}")
                ctx.wait(COMMAND_S)
                for line in range(LINES_A_COMMAND):
                    ctx.output(f"line {line} of what the command printed")
                ctx.command(["kubectl", "--context", "kind-o11y-dev", "apply", f"{number}"], 0, COMMAND_S)
        self._done = True

    def undo(self, ctx: StepContext) -> None:
        self._done = False

    def by_hand(self) -> list[str]:
        return []


def main() -> None:
    urls = [None if argument == "-" else argument for argument in sys.argv[1:4]]
    with tempfile.TemporaryDirectory(prefix="telemetry-", dir=FOLDER) as folder:
        print(*_run(urls, ClusterLayout(Path(folder))))


def _run(urls: list[str | None], layout: ClusterLayout) -> tuple[float, float]:
    journal, clock = JournalWriter(layout.journal), SystemClock()
    keeper = StateWriter(layout.state, State(CLUSTER), lambda: journal.offset)
    with ExitStack() as stack:
        shipper = _shipper(urls, layout)
        run_id = f"bench-{time.time_ns()}"
        recorder = Recorder(journal, clock, keeper, [shipper] if shipper else [], run_id=run_id)
        steps = [Scripted(step, STEP_IDS[number - 1 : number]) for number, step in enumerate(STEP_IDS)]
        engine = Engine(Plan(steps), recorder, clock, Workers(), random.random)
        cpu, began = _cpu(), time.perf_counter()
        recorder.record(Kind.RUN_STARTED, mode="install", version="1", provider="host", cluster=CLUSTER)
        if shipper:
            stack.enter_context(shipper)
        result = engine.run()
        recorder.record(Kind.RUN_FINISHED, outcome="succeeded", exit_code=0, duration_seconds=0.0)
        recorder.sync()
        keeper.save()
    assert result.outcome is Outcome.SUCCEEDED
    return time.perf_counter() - began, _cpu() - cpu


def _shipper(urls: list[str | None], layout: ClusterLayout) -> Shipper | None:
    if not any(urls):
        return None
    return Shipper(
        JournalReader(layout.journal),
        CursorFile(layout.cursors),
        CLUSTER,
        lambda: urls[0],
        lambda _: None,
        traces_url=lambda: urls[1],
        logs_url=lambda: urls[2],
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
