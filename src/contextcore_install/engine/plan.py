"""Steps and their order."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from contextcore_install.core.findings import CheckResult
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.retry import RetryPolicy


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


class PlanError(ValueError):
    """Steps that cannot be put in order: a duplicate, an unknown need, or a cycle."""


class Plan:
    """A graph of steps: a step waits for what it needs, and for nothing else."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.id: step for step in steps}
        if len(self._steps) != len(steps):
            raise PlanError("two steps have the same id")
        for step in steps:
            for need in step.needs:
                if need not in self._steps:
                    raise PlanError(f"step {step.id} needs {need}, which is not in the plan")
        try:
            self.sorter()
        except graphlib.CycleError as error:
            raise PlanError(f"the steps need each other in a circle: {' -> '.join(error.args[1])}") from error

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, step_id: str) -> Step:
        return self._steps[step_id]

    def __contains__(self, step_id: object) -> bool:
        return step_id in self._steps

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
