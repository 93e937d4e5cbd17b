"""How a step is told to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contextcore_install.core.errors import CancelledError


class CancelToken:
    """Set once, from any thread; whoever waits on it wakes, and what it holds open is ended."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._noted = False
        self.reason = ""

    @property
    def cancelled(self) -> bool:
        """Whether the work is to end."""
        return self._noted or self._event.is_set()

    def note(self, reason: str) -> None:
        """Let the work see that it is to end: for a signal's handler, as it takes no lock; `cancel` follows."""
        self.reason = self.reason or reason
        self._noted = True

    def cancel(self, reason: str) -> None:
        """Tell the work to end; the first reason given stays."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = self.reason or reason
            self._event.set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def wait(self, seconds: float) -> None:
        """Pause; raises CancelledError at once when the work is to end."""
        if self._noted or self._event.wait(seconds):
            raise CancelledError(self.reason)

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError when the work is to end."""
        if self.cancelled:
            raise CancelledError(self.reason)

    @contextmanager
    def on_cancel(self, action: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `action` when the work is to end (at once if it is already)."""
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
