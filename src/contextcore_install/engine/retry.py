"""How often and how soon a step, or a remedy of a watch, is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class RepairBudget:
    """`most` remedies in any hour; pauses of `base_s` seconds after the first, doubled with each, `cap_s` at most."""

    most: int = 6
    base_s: float = 5.0
    cap_s: float = 600.0

    def spent(self, remedies: Iterable[float], now: float) -> int:
        """Return how many of the remedies, by when they ended in seconds, the hour before `now` has seen.

        Those of the future count as well: the clock was set back.
        """
        return sum(at > now - HOUR_S for at in remedies)

    def exhausted(self, remedies: Iterable[float], now: float) -> bool:
        """Tell whether no further remedy may be carried out now."""
        return self.spent(remedies, now) >= self.most

    def pause_s(self, remedies: Iterable[float], now: float) -> float:
        """Return the seconds until the next remedy may begin; 0 where it may at once."""
        recent = [at for at in remedies if at > now - HOUR_S]
        if not recent:
            return 0.0
        pause = min(self.cap_s, self.base_s * 2.0 ** min(len(recent) - 1, 30))
        return max(0.0, min(max(recent) + pause - now, pause))
