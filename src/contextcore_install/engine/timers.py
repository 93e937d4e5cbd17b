"""What is to be done later, and when."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from contextcore_install.core.ports import Clock

_SLACK = 64
"""How many cancelled timers may lie about beside as many as are awaited: few enough to cost nothing."""


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
        """Have a timer's action not called; one that was called already makes no difference."""
        self._actions.pop(number, None)
        if len(self._due) > 2 * len(self._actions) + _SLACK:
            self._due = [timer for timer in self._due if timer[1] in self._actions]
            heapq.heapify(self._due)

    @property
    def next_in_s(self) -> float | None:
        """The seconds until the next action is due, 0 where one is; None where none is awaited."""
        while self._due and self._due[0][1] not in self._actions:
            heapq.heappop(self._due)
        return max(0.0, self._due[0][0] - self._clock.monotonic()) if self._due else None

    def fire(self) -> None:
        """Call what is due."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            action = self._actions.pop(heapq.heappop(self._due)[1], None)
            if action:
                action()
