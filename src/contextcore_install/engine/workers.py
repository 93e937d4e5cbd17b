"""Threads that run the steps' work, so that the engine never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """Runs calls in threads that grow with need, up to `most` that are busy at once.

    The threads are daemons: one that hangs in a system call cannot keep the program from ending,
    which is why this is no concurrent.futures pool (its threads are joined at exit).
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    def submit(self, call: Callable[[], None]) -> None:
        """Run a call soon in some thread. The call must not raise."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True).start()
        self._calls.put(call)

    def forget_one(self) -> None:
        """Make room for another thread in place of one that will not come back."""
        with self._lock:
            self._most += 1

    def _work(self) -> None:
        while True:
            self._calls.get()()
            with self._lock:
                self._idle += 1
