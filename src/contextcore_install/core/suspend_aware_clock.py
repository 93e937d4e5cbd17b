"""A clock that counts only the time in which the program ran."""

from __future__ import annotations

import threading

from contextcore_install.core.interfaces import Clock

UNSEEN_S = 10.0
"""Seconds between two readings after which the program was suspended: a user of the clock reads it far more often."""


class SuspendAwareClock:
    """A Clock whose `monotonic` leaves out the time in which the program or its machine was suspended.

    Most systems' monotonic clocks leave out a sleep by themselves. Those of virtual machines that were paused (WSL2
    beneath a laptop that slept) need not, and none leaves out SIGSTOP. Safe to use from several threads.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = clock.monotonic()
        self._left_out = 0.0
        self.now_us = clock.now_us

    def monotonic(self) -> float:
        with self._lock:
            now = self._clock.monotonic()
            unseen, self._seen = now - self._seen, now
            if unseen > UNSEEN_S:
                self._left_out += unseen
            return now - self._left_out
