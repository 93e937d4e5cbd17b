"""A signal ends a run whenever it comes: while an engine runs, between two of them, and not at all once all is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.commands import watch
from contextcore_install.commands.repair import mend
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.retry import RepairBudget
from contextcore_install.runtime.check_all import survey
from contextcore_install.runtime.running import StopHandler
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


def work(ending: StopHandler, *parts: Any) -> tuple[RunResult, list[Any]]:
    """Return what comes of engines and of what is done between them, and which parts were done."""
    done: list[Any] = []

    def all_of_it() -> RunResult:
        for part in parts:
            ending.run(part) if isinstance(part, Ran) else part()
            done.append(part)
        return DONE

    return ending.result_of(all_of_it), done


def test_a_signal_between_two_engines_ends_the_run() -> None:
    ending = StopHandler(lambda: None)
    result, done = work(ending, Ran(), lambda: ending.ask("SIGTERM"), Ran())
    assert (result.outcome, result.reason, len(done)) == (Outcome.INTERRUPTED, "SIGTERM", 1)


def test_a_signal_that_an_engine_did_not_hear_keeps_the_next_from_beginning() -> None:
    ending = StopHandler(lambda: None)
    first = Ran(lambda: ending.ask("Ctrl-C"))
    result, done = work(ending, first, Ran())
    assert (first.interrupted, result.outcome, done) == ("Ctrl-C", Outcome.INTERRUPTED, [first])


def test_a_signal_after_the_work_is_told_and_changes_no_result() -> None:
    told: list[str] = []
    ending = StopHandler(lambda: told.append("told"))
    result, _ = work(ending, Ran())
    ending.ask("SIGTERM")
    assert (result, told) == (DONE, ["told"])


def test_a_repair_that_is_told_to_end_begins_no_other_round(tmp_path: Path) -> None:
    session: Any = SimpleNamespace(engine=lambda _: Ran(), plan=None)
    console: Any = None
    ended = RunResult(Outcome.FAILED, {}, "Ctrl-C")
    assert mend(app(tmp_path, "--repair"), session, console, lambda _: ended) is ended


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
        survey(Plan([Waits()]), RealClock())  # type: ignore[list-item]
    assert time.monotonic() - began < TIMES / 2


def test_a_watch_ends_whenever_in_a_remedy_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def carry_out(_: object, work: Any, *, told_to_end: Callable[[], None], **__: object) -> int:
        work(SimpleNamespace(recorder=SimpleNamespace(record=lambda *_, **__: None)), None, None)
        told_to_end()  # as while telemetry is sent
        return 0

    monkeypatch.setattr(watch, "carry_out", carry_out)
    monkeypatch.setattr(watch, "mend", lambda *_: RunResult(Outcome.FAILED))
    monkeypatch.setattr(watch.Watch, "_state", lambda _: SimpleNamespace(steps={}, provider="host"))
    watching = watch.Watch(app(tmp_path, "watch"), RepairBudget(most=1), TIMES)
    problem: Any = SimpleNamespace(message="it is gone")
    assert watching._heal([problem]) is None
    assert watching._ended
