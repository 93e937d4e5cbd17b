"""The machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """`core.interfaces.Clock` of every real run."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


#: On macOS, CLOCK_MONOTONIC goes on while the machine sleeps (man 3 clock_gettime); on Linux it does not.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def since_boot() -> float:
    """Return seconds that never jump, those in which the machine slept included."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)
