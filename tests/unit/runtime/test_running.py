"""A signal ends a run whenever it comes: while an engine runs, between two of them, and not at all once all is done."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.plan import Plan, RepairBudget
from contextcore_install.runtime import running
from contextcore_install.runtime.checks import check_all
from contextcore_install.runtime.running import RunControl, mend
from contextcore_install.runtime.watching import Watch
from kit.fakes import FakeProvider, RealClock
from kit.installed_records import START_US, STORY, app, write_records

DONE = RunResult(Outcome.SUCCEEDED)
TIMES = 20.0


class Ran(Engine):
    """One that is done at once; `last` is called when it hears nothing any more."""

    def __init__(self, last: Callable[[], None] = lambda: None) -> None:
        self.last, self.interrupted = last, ""

    def interrupt(self, reason: str) -> None:
        self.interrupted = reason

    def run(self) -> RunResult:
        self.last()
        return DONE


def work(ending: RunControl, *parts: Any) -> tuple[RunResult, list[Any]]:
    """Return what comes of engines and of what is done between them, and which parts were done."""
    done: list[Any] = []

    def all_of_it() -> RunResult:
        for part in parts:
            ending.run(part) if isinstance(part, Ran) else part()
            done.append(part)
        return DONE

    return ending.result_of(all_of_it), done


def test_a_signal_between_two_engines_ends_the_run() -> None:
    ending = RunControl()
    result, done = work(ending, Ran(), lambda: ending.stop("SIGTERM"), Ran())
    assert (result.outcome, result.reason, len(done)) == (Outcome.INTERRUPTED, "SIGTERM", 1)


def test_a_signal_that_an_engine_did_not_hear_keeps_the_next_from_beginning() -> None:
    ending = RunControl()
    first = Ran(lambda: ending.stop("Ctrl-C"))
    result, done = work(ending, first, Ran())
    assert (first.interrupted, result.outcome, done) == ("Ctrl-C", Outcome.INTERRUPTED, [first])


def test_a_signal_after_the_work_is_told_and_changes_no_result() -> None:
    told: list[str] = []
    ending = RunControl(lambda: told.append("told"))
    result, _ = work(ending, Ran())
    ending.stop("SIGTERM")
    assert (result, told) == (DONE, ["told"])


def test_a_repair_that_is_told_to_end_begins_no_other_round() -> None:
    ended = RunResult(Outcome.FAILED, {}, "Ctrl-C")
    session: Any = SimpleNamespace(run=lambda: ended)
    console: Any = None
    assert mend(session, console) is ended


def test_checks_that_are_interrupted_are_told_to_end() -> None:
    class Waits:
        id, title, needs = "preflight", "", ()

        def check(self, ctx: Any) -> None:
            ctx.wait(0.2)
            os.kill(os.getpid(), signal.SIGINT)
            ctx.wait(TIMES)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        check_all(Plan([Waits()]), RealClock())  # type: ignore[list-item]
    assert time.monotonic() - began < TIMES / 2


class EndsAtTheEnd(io.StringIO):
    """What a run's events are written to; with the last of them, as while telemetry is sent, a signal comes."""

    def write(self, text: str) -> int:
        if f'"{Kind.RUN_FINISHED.value}"' in text:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def test_a_watch_ends_whenever_in_a_remedy_it_is_told_to(tmp_path: Path) -> None:
    done = [Event(0, START_US + 4, "run-1", Kind.STEP_COMPLETED, step, {"duration_seconds": 1.0}) for step in STEP_IDS]
    story = [replace(event, number=number) for number, event in enumerate([*STORY, *done], 1)]
    write_records(tmp_path, story)
    provider, stdout = FakeProvider(), EndsAtTheEnd()
    provider.missing_tool, provider.can_fix = True, False
    given = {"create_provider": lambda *_: provider, "stdout": stdout}
    watched = Watch(app(tmp_path, "watch", "--output", "json", **given), RepairBudget(most=1), TIMES)
    assert watched._heal(["it is gone"]) is None
    assert watched._ended
    assert '"outcome":"failed"' in stdout.getvalue()


def test_a_program_that_was_replaced_meanwhile_still_tells_why_the_run_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "contextcore_install.runtime.bundle.bundle", None)  # its file is gone
    failed = RunResult(Outcome.FAILED, {"pods_ready": InstallError("x", "it failed")})
    said: list[str] = []
    session: Any = SimpleNamespace(app=SimpleNamespace(json=False))
    running._report(session, SimpleNamespace(say=said.append), failed, "it failed")  # type: ignore[arg-type]
    assert said == ["it failed"]
