"""Work in threads: cancelled with the step that it is for, or left behind when it hangs, to end with the program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.interfaces import StepContext

Value = TypeVar("Value")


_change = threading.Condition()
"""One for all tokens: each step has a token of its own, and few are ever cancelled."""


class CancelToken:
    """Set once, from any thread: waits end, and registered actions are called."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []
        self._noted = self._set = False
        self.reason = ""

    @property
    def cancelled(self) -> bool:
        return self._noted or self._set

    def note(self, reason: str) -> None:
        """Mark the work as cancelled without taking a lock, for a signal handler; `cancel` follows."""
        self.reason = self.reason or reason
        self._noted = True

    def cancel(self, reason: str) -> None:
        """Cancel the work; the first reason stays."""
        with _change:
            if self._set:
                return
            self.reason = self.reason or reason
            self._set = True
            _change.notify_all()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def wait(self, seconds: float) -> None:
        with _change:
            _change.wait_for(lambda: self.cancelled, seconds)
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        if self.cancelled:
            raise CancelledError(self.reason)

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` upon cancellation (at once if that was before)."""
        with _change:
            pending = not self._set
            if pending:
                self._actions.append(action)
        if not pending:
            action()

    @contextmanager
    def on_cancel(self, action: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `action` upon cancellation (at once if that was before)."""
        self.then(action)
        try:
            yield
        finally:
            with _change:
                if action in self._actions:
                    self._actions.remove(action)


class _ChildContext:
    """A StepContext with a token of its own."""

    def __init__(self, ctx: StepContext, token: CancelToken) -> None:
        self._ctx = ctx
        self.wait, self.raise_if_cancelled, self.on_cancel = token.wait, token.raise_if_cancelled, token.on_cancel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


@contextmanager
def child_context(ctx: StepContext) -> Iterator[StepContext]:
    """Give the context of work in another thread, which is cancelled with the step, or as soon as the block fails."""
    token = CancelToken()
    with ctx.on_cancel(lambda: token.cancel("the step is to end")):
        try:
            yield cast(StepContext, _ChildContext(ctx, token))
        except BaseException:
            token.cancel("what it was done for has failed")
            raise


class OutlastingContext(_ChildContext):
    """The context of work that a step begins and a later one waits for.

    It is cancelled with the run at the latest, and reports to the step that was named last. What that work begins as
    part of a step ends, in the records, with that step.
    """

    def __init__(self, ctx: StepContext) -> None:
        token = CancelToken()
        super().__init__(ctx, token)
        self._token, self.cancel = token, token.cancel
        ctx.at_end_of_run(lambda: token.cancel("the run has ended"))

    @property
    def is_cancelled(self) -> bool:
        return self._token.cancelled

    def report_to(self, ctx: StepContext) -> bool:
        """Report to a step from now on; tell whether it is another than before, or another attempt at it."""
        before, self._ctx = self._ctx, ctx
        return before is not ctx


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
