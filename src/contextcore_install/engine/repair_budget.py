"""How much healing a watch may do by itself: so many remedies an hour, with pauses that grow. Pure.

What has to be healed again and again is broken in a way that no remedy reaches, and each of them restarts something. So
the pause before the next one doubles with each that the hour has seen, and when the hour's are spent, a person has to
look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Budget:
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
