"""How often and how soon a step, or a remedy of a watch, is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from contextcore_install.core.dataclass import dataclass

HOUR_S = 3600.0


def _doubled(base_s: float, cap_s: float, times: int) -> float:
    return min(cap_s, base_s * 2.0 ** min(times, 30))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter; delays in seconds.

    Full jitter (a uniform draw up to the back-off) after M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015; `floor_s` keeps a draw near 0 from being a busy loop.
    """

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 15.0
    floor_s: float = 0.1

    def delay(self, attempt: int, uniform: Callable[[], float]) -> float:
        """Return the pause before the attempt after `attempt` (1-based); `uniform` draws from [0, 1)."""
        return max(self.floor_s, _doubled(self.base_s, self.cap_s, attempt - 1) * uniform())

    def allows_another(self, attempt: int, *, retryable: bool) -> bool:
        return retryable and attempt < self.attempts


ONCE = RetryPolicy(attempts=1)


@dataclass(frozen=True, slots=True)
class RepairBudget:
    """Limits what a watch repairs by itself: `most` remedies in any hour, with pauses between them that double.

    What has to be repaired again and again is broken in a way that no remedy reaches, and each remedy restarts
    something. Remedies are given by when they ended, in seconds; those of the future count, as the clock was set back.
    """

    most: int = 6
    base_s: float = 5.0
    cap_s: float = 600.0

    def exhausted(self, remedies: Iterable[float], now: float) -> bool:
        return sum(at > now - HOUR_S for at in remedies) >= self.most

    def pause_s(self, remedies: Iterable[float], now: float) -> float:
        """Return the seconds until the next remedy may begin."""
        recent = [at for at in remedies if at > now - HOUR_S]
        if not recent:
            return 0.0
        pause = _doubled(self.base_s, self.cap_s, len(recent) - 1)
        return max(0.0, min(max(recent) + pause - now, pause))
