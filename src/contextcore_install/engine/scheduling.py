"""Timers for the engine's thread, and threads for the steps' work."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from queue import SimpleQueue

from contextcore_install.core.interfaces import Clock

_SLACK = 64  # cancelled timers that may stay in the heap beside as many as are awaited


class Timers:
    """Calls actions when they are due, in the thread that asks. A cancelled one keeps nothing alive."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._actions: dict[int, Callable[[], None]] = {}
        self._due: list[tuple[float, int]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> int:
        """Have an action called once so many seconds have passed; return the number, from 1, that cancels it."""
        number = next(self._numbers)
        self._actions[number] = action
        heapq.heappush(self._due, (self._clock.monotonic() + seconds, number))
        return number

    def cancel(self, number: int) -> None:
        """Have a timer's action not called, unless it was already."""
        self._actions.pop(number, None)
        if len(self._due) > 2 * len(self._actions) + _SLACK:
            self._due = [timer for timer in self._due if timer[1] in self._actions]
            heapq.heapify(self._due)

    @property
    def next_in_s(self) -> float | None:
        """The seconds until the next action is due, 0 if one is; None if none is awaited."""
        while self._due and self._due[0][1] not in self._actions:
            heapq.heappop(self._due)
        return max(0.0, self._due[0][0] - self._clock.monotonic()) if self._due else None

    def fire(self) -> None:
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            action = self._actions.pop(heapq.heappop(self._due)[1], None)
            if action:
                action()


class Workers:
    """Runs calls in threads that grow with need, up to `most` that are busy at once.

    The threads are daemons, so that one that hangs in a system call cannot keep the program from ending: the threads of
    a pool of concurrent.futures are joined at exit.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._calls: SimpleQueue[Callable[[], Callable[[], object]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    def submit(self, call: Callable[[], Callable[[], object]]) -> None:
        """Run a call soon in some thread, and then, when that thread is free again, what it returns; none may raise."""
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

    def end(self) -> None:
        """Have the threads end, each when it is free; nothing is submitted any more."""
        with self._lock:
            for _ in range(self._threads):
                self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            report = call()
            with self._lock:
                self._idle += 1
            report()
