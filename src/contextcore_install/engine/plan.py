"""Steps, their order, and how often and how soon one, or a remedy of a watch, is tried again."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.interfaces import StepContext

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


class Step(Protocol):
    """One verifiable piece of the installation. `check`, `apply` and `undo` may raise InstallError.

    `timeout_s` bounds the step with all its attempts.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    retry: RetryPolicy
    timeout_s: float

    def check(self, ctx: StepContext) -> CheckResult: ...  # only reads, and is cheap
    def apply(self, ctx: StepContext) -> None: ...  # safe to repeat
    def undo(self, ctx: StepContext) -> None: ...  # removes what this installation made, and nothing else
    def by_hand(self) -> Sequence[str]: ...  # the commands that do the same by hand


class Plan:
    """A graph of steps: a step waits for what it needs, and for nothing else.

    Raises ValueError for steps that cannot be put in order: a duplicate, an unknown need, or a cycle.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.id: step for step in steps}
        if len(self._steps) != len(steps):
            raise ValueError("two steps have the same id")
        for step in steps:
            if unknown := {need for need in step.needs if need not in self._steps}:
                raise ValueError(f"step {step.id} needs {', '.join(sorted(unknown))}, which is not in the plan")
        self.sorter()

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, step_id: str) -> Step:
        return self._steps[step_id]

    def sorter(self) -> graphlib.TopologicalSorter[str]:
        """Return a prepared sorter that hands out steps as their needs are met."""
        return _prepared({step.id: step.needs for step in self})

    def backwards(self, chosen: Collection[str]) -> graphlib.TopologicalSorter[str]:
        """Return a prepared sorter that hands out chosen steps once those that need them are done."""
        return _prepared({each: [s.id for s in self if each in s.needs and s.id in chosen] for each in chosen})

    def until(self, last: str) -> Plan:
        """Return the plan that ends with a step: that step and all it needs, directly or not."""
        wanted, todo = set[str](), {last}
        while todo:
            wanted |= todo
            todo = {need for step_id in todo for need in self._steps[step_id].needs} - wanted
        return Plan([step for step in self if step.id in wanted])


def _prepared(graph: Mapping[str, Iterable[str]]) -> graphlib.TopologicalSorter[str]:
    sorter = graphlib.TopologicalSorter(graph)
    sorter.prepare()
    return sorter


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
