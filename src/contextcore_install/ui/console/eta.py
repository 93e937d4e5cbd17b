"""How long a run will still take, from how long it took before on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import Event
from contextcore_install.engine.journal_summary import RECENT, working_time_s

QUICK_S = 0.5  # what a step is taken to need that was done before and will probably only be checked
LATE_FACTOR, LATE_S = 1.5, 5.0  # a step is late after so many times, and so many seconds more than, the usual time


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that are left (None if nothing is known), and whether a step is unusually slow."""

    seconds: float | None = None
    late: bool = False

    def words(self) -> str:
        """Return the estimate no more precisely than it is known; "" if nothing is."""
        if self.late:
            return "longer than usual"
        if self.seconds is None:
            return ""
        if self.seconds < 5:
            return "a few seconds left"
        if self.seconds < 55:
            return f"about {max(10, round(self.seconds, -1)):.0f} s left"
        return f"about {max(1, round(self.seconds / 60))} min left"


def durations(events: Iterable[Event]) -> dict[str, list[float]]:
    """Return, for each step, the seconds that its real work took in earlier runs, latest last."""
    found: dict[str, list[float]] = {}
    for event in events:
        if (seconds := working_time_s(event)) is not None:
            found.setdefault(event.step, []).append(seconds)
    return found


def usual(seconds: Sequence[float]) -> float | None:
    """Return what a step usually takes: the median of its latest durations."""
    recent = sorted(list(seconds)[-RECENT:])
    return recent[len(recent) // 2] if recent else None


def estimate(
    history: Mapping[str, Sequence[float]],
    needs: Mapping[str, Collection[str]],
    elapsed: Mapping[str, float],
    finished: Collection[str],
    quick: Collection[str] = (),
) -> Estimate:
    """Return how long the plan will still take: the longest way to its end, as independent steps run at once.

    `needs` tells for each step of the plan, in an order that can be run, what it waits for; `elapsed`
    the seconds that running steps have taken; `quick` the steps that will probably only be checked.
    """
    ends: dict[str, float] = {}
    late = False
    for step, before in needs.items():
        if step in finished:
            ends[step] = 0.0
            continue
        expected = QUICK_S if step in quick and step not in elapsed else usual(history.get(step, ()))
        if expected is None:
            return Estimate()
        spent = elapsed.get(step, 0.0)
        late = late or spent > max(expected * LATE_FACTOR, expected + LATE_S)
        ends[step] = max((ends.get(need, 0.0) for need in before), default=0.0) + max(0.0, expected - spent)
    return Estimate(max(ends.values(), default=0.0), late)


class Countdown:
    """Keeps a shown estimate from jumping: it falls with the time unless what is known changes much."""

    def __init__(self) -> None:
        self._shown: tuple[float, float] | None = None  # the estimate, and when it was made

    def steady(self, fresh: Estimate, now: float) -> Estimate:
        """Return what to show at `now` (monotonic seconds)."""
        if fresh.seconds is None or fresh.late:
            self._shown = None
            return fresh
        if self._shown is not None:
            counted = max(0.0, self._shown[0] - (now - self._shown[1]))
            if abs(fresh.seconds - counted) <= max(5.0, counted * 0.25):
                return Estimate(counted)
        self._shown = fresh.seconds, now
        return fresh
