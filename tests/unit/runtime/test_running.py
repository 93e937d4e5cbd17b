"""A signal ends a run whenever it comes: while an engine runs, between two of them, and not at all once all is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.retry import RepairBudget
from contextcore_install.runtime import watching
from contextcore_install.runtime.check_all import check_all
from contextcore_install.runtime.control import RunControl
from contextcore_install.runtime.running import mend
from kit.fakes import RealClock
from unit.runtime.test_ending import app

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


def test_checks_that_are_interrupted_are_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = threading.Event()

    class Waits:
        id, title, needs = "preflight", "", ()

        def check(self, ctx: Any) -> None:
            looking.set()
            ctx.wait(TIMES)

    def interrupted(*_: Any) -> Any:
        assert looking.wait(TIMES)
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        check_all(Plan([Waits()]), RealClock())  # type: ignore[list-item]
    assert time.monotonic() - began < TIMES / 2


def test_a_watch_ends_whenever_in_a_remedy_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def carry_out(_: object, work: Any, *__: object, stopping: Callable[[], None], **___: object) -> int:
        work(SimpleNamespace(recorder=SimpleNamespace(record=lambda *_, **__: None)), None)
        stopping()  # as while telemetry is sent
        return 0

    monkeypatch.setattr(watching, "carry_out", carry_out)
    monkeypatch.setattr(watching, "mend", lambda *_: RunResult(Outcome.FAILED))
    monkeypatch.setattr(watching.Watch, "_state", lambda _: SimpleNamespace(steps={}, provider="host"))
    watched = watching.Watch(app(tmp_path, "watch"), RepairBudget(most=1), TIMES)
    problem: Any = SimpleNamespace(message="it is gone")
    assert watched._heal([problem]) is None
    assert watched._ended
