"""The machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """The Clock of every real run."""

    def now_us(self) -> int:
        """Return UTC in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()
