"""What the steps have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.ports import Http, HttpResponse, Programs, StepContext, Telemetry
from contextcore_install.core.provider import Endpoint, Provider
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.retry import RetryPolicy

Explain = Callable[[Endpoint, HttpResponse | InstallError], Finding]
"""Says what it means that a service is not ready: from what it answered, or from why it did not."""

Measure = Callable[[float], Sequence[Mapping[str, Any]]]
"""Measures how complete the installation is, within a number of seconds, as the event `verified` holds it."""


Replaced = Callable[[Sequence[Storage]], Sequence[Finding]]
"""Tells which data is another one than when it was seen last."""


def _nothing(_: Sequence[Storage]) -> Sequence[Finding]:
    return ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What steps work through."""

    provider: Provider
    http: Http
    telemetry: Telemetry
    programs: Programs
    explain: Explain
    measure: Measure
    replaced: Replaced = _nothing


class BaseStep:
    """A step that has nothing to take back unless it says so."""

    id = ""
    title = ""
    lesson = ""
    needs: tuple[str, ...] = ()
    retry = RetryPolicy()
    timeout_s = 300.0

    def __init__(self, surroundings: Surroundings) -> None:
        self._provider = surroundings.provider
        self._http = surroundings.http
        self._telemetry = surroundings.telemetry
        self._programs = surroundings.programs
        self._explain = surroundings.explain
        self._measure = surroundings.measure
        self._replaced = surroundings.replaced

    def check(self, ctx: StepContext) -> CheckResult:
        """Look whether there is anything to do."""
        raise NotImplementedError

    def apply(self, ctx: StepContext) -> None:
        """Make it so."""
        raise NotImplementedError

    def undo(self, ctx: StepContext) -> None:
        """Take back what apply made: nothing."""

    def by_hand(self) -> Sequence[str]:
        """Return the commands that do the same by hand."""
        return self._provider.by_hand(self.id)
