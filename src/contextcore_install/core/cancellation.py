"""Cancels the work of a step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from contextcore_install.core.errors import CancelledError
from contextcore_install.core.interfaces import StepContext


class CancelToken:
    """Set once, from any thread: waits end, and registered actions are called."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._noted = False
        self.reason = ""

    @property
    def cancelled(self) -> bool:
        return self._noted or self._event.is_set()

    def note(self, reason: str) -> None:
        """Mark the work as cancelled without taking a lock, for a signal handler; `cancel` follows."""
        self.reason = self.reason or reason
        self._noted = True

    def cancel(self, reason: str) -> None:
        """Cancel the work; the first reason stays."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = self.reason or reason
            self._event.set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def wait(self, seconds: float) -> None:
        if self._noted or self._event.wait(seconds):
            raise CancelledError(self.reason)

    def raise_if_cancelled(self) -> None:
        if self.cancelled:
            raise CancelledError(self.reason)

    @contextmanager
    def on_cancel(self, action: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `action` upon cancellation (at once if that was before)."""
        with self._lock:
            pending = not self._event.is_set()
            if pending:
                self._actions.append(action)
        if not pending:
            action()
        try:
            yield
        finally:
            with self._lock:
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
