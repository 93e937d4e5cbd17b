"""How often and how soon a step is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter; delays in seconds.

    Full jitter (a uniform draw up to the back-off) after M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015; `floor_s` keeps a draw near 0 from being a busy loop.
    """

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 15.0
    floor_s: float = 0.1

    def delay(self, attempt: int, uniform: Callable[[], float]) -> float:
        """Return the pause before the attempt after `attempt` (1-based); `uniform` draws from [0, 1)."""
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        return max(self.floor_s, backoff * uniform())

    def allows_another(self, attempt: int, *, retryable: bool) -> bool:
        """Say whether another attempt may follow number `attempt`."""
        return retryable and attempt < self.attempts


ONCE = RetryPolicy(attempts=1)
