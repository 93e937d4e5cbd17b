"""A clock that counts only the time in which the program ran."""

from __future__ import annotations

import threading

from contextcore_install.core.ports import Clock

UNSEEN_S = 10.0
"""Seconds between two looks that say that nothing of the program ran: who uses the clock looks far more often."""


class SuspendAwareClock:
    """A Clock whose `monotonic` leaves out what passed without a look: the program was stopped, or its machine was.

    Most systems' monotonic clocks leave out a sleep by themselves. Those of virtual machines that were paused (WSL2
    beneath a laptop that slept) need not, and none leaves out SIGSTOP. So no time limit is over because of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = clock.monotonic()
        self._left_out = 0.0

    def now_us(self) -> int:
        """Return UTC in microseconds since 1970."""
        return self._clock.now_us()

    def monotonic(self) -> float:
        """Return seconds that never jump. Safe in any thread."""
        with self._lock:
            now = self._clock.monotonic()
            unseen, self._seen = now - self._seen, now
            if unseen > UNSEEN_S:
                self._left_out += unseen
            return now - self._left_out
