"""Work in threads that nobody has to wait for: what hangs is left behind, and ends with the program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from contextcore_install.core.errors import InstallError

Value = TypeVar("Value")


def start(task: Callable[[], Value], name: str) -> Future[Value]:
    """Run a task in a thread of its own, which does not keep the process alive."""
    outcome: Future[Value] = Future()
    threading.Thread(target=_settle, args=(outcome, task), name=name, daemon=True).start()
    return outcome


def once(task: Callable[[], Value]) -> Callable[[], Value]:
    """Return a function that runs the task when it is first called; every call has that outcome, value or error."""
    outcome: Future[Value] = Future()
    begin = threading.Lock()

    def call() -> Value:
        if begin.acquire(blocking=False):
            _settle(outcome, task)
        return outcome.result()

    return call


def run_concurrently(tasks: Mapping[str, Callable[[], Value]], limit_s: float) -> dict[str, Value | InstallError]:
    """Return the outcome of each task: a value or an InstallError, `too-slow` if it takes longer than `limit_s`.

    Any other error is raised.
    """
    outcomes = {name: start(task, name) for name, task in tasks.items()}
    done = wait(outcomes.values(), limit_s).done
    late = InstallError("too-slow", f"there was no answer within {limit_s:.0f} s", retryable=True)
    found: dict[str, Value | InstallError] = {}
    for name, outcome in outcomes.items():
        try:
            found[name] = outcome.result() if outcome in done else late
        except InstallError as error:
            found[name] = error
    return found


def _settle(outcome: Future[Value], task: Callable[[], Value]) -> None:
    try:
        outcome.set_result(task())
    except BaseException as error:  # noqa: BLE001 - raised by whoever asks for the result
        outcome.set_exception(error)
