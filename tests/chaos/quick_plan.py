"""The real program around a plan whose steps take no time: each leaves one line in a ledger, and looks there."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

from contextcore_install.__main__ import main
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.plan import Plan, RetryPolicy
from contextcore_install.runtime.app import App
from contextcore_install.storage.journal.segments import SEGMENT_BYTES
from kit.fakes import FakeProvider

CLUSTER = "chaos"


class LedgerStep:
    """A step that is done once the ledger has its line; writing it is all that the step does."""

    retry = RetryPolicy(attempts=1)
    timeout_s = 60.0

    def __init__(self, step_id: str, needs: tuple[str, ...], ledger: Path, gate: Path | None) -> None:
        self.id = self.title = step_id
        self.needs = needs
        self._ledger = ledger
        self._gate = gate

    def check(self, ctx: StepContext) -> CheckResult:
        if self.id in lines(self._ledger):
            return CheckResult("done")
        return CheckResult(findings=(Finding("to-do", "not done", remedy=Remedy("do it", automatic=True)),))

    def apply(self, ctx: StepContext) -> None:
        while self._gate and not self._gate.exists():
            ctx.wait(0.005)
        with ctx.part("the ledger"):
            descriptor = os.open(self._ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o600)
            os.write(descriptor, f"{self.id}\n".encode())
            os.close(descriptor)
        ctx.notice("written")

    def undo(self, ctx: StepContext) -> None:
        """Nothing to take back."""

    def by_hand(self) -> Sequence[str]:
        return []


def lines(ledger: Path) -> Counter[str]:
    """Return how often each step was applied."""
    return Counter(ledger.read_text().split()) if ledger.exists() else Counter()


class World:
    """One CONTEXTCORE_HOME, in which the program runs in processes forked from this one.

    No step is applied before the file `gate` exists, where one is named.
    """

    gate: Path | None = None
    part_bytes = SEGMENT_BYTES
    """How long a journal grows before it is compressed."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.ledger = folder / "effects"
        self.files = self.home / "clusters" / CLUSTER
        self.shown = folder / "shown"
        """What the last run printed on standard output, where that is left as it is."""
        self.stdout: Callable[[], TextIO] = io.StringIO

    def start(self, around: Callable[[Callable[[], int]], int] | None = None) -> int:
        """Start an installation and return its pid; `around` is called in its process, with what carries it out."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.closerange(3, 64)
            with patch.object(sys, "stderr", io.StringIO()):  # the one of the tests was closed with the rest
                code = around(self._install) if around else self._install()
        finally:
            os._exit(code)

    def run(self, around: Callable[[Callable[[], int]], int] | None = None) -> int:
        """Run an installation to its end and return its exit code, negative for a signal."""
        return ended(self.start(around))

    def _install(self) -> int:
        environ = {"CONTEXTCORE_HOME": str(self.home), "CONTEXTCORE_CLUSTER": CLUSTER, "PATH": "/usr/bin:/bin"}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        steps = zip(STEP_IDS, [(), *((step_id,) for step_id in STEP_IDS)], strict=False)
        provider = FakeProvider(())
        plan = Plan([LedgerStep(step_id, needs, self.ledger, self.gate) for step_id, needs in steps])
        create_app = partial(
            App, create_provider=lambda *_: provider, create_plan=lambda _: plan, segment_bytes=self.part_bytes
        )
        with (
            patch.dict(os.environ, environ, clear=True),
            patch.object(sys, "stdout", self.stdout()) as stdout,
            patch.object(sys, "argv", ["create-cluster.sh"]),
        ):
            code = main(["--resume", "--provider", "host", "--output", "json"], create_app)
            if isinstance(stdout, io.StringIO):
                self.shown.write_text(stdout.getvalue())
            return code


def ended(pid: int, limit_s: float = 60.0) -> int:
    """Wait for a process of ours and return its exit code; it is killed, and AssertionError raised, after `limit_s`."""
    end = time.monotonic() + limit_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"still running after {limit_s:g} s")
        time.sleep(0.002)
