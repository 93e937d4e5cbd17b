"""What the steps have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import Http, HttpResponse, Programs, StepContext, Telemetry
from contextcore_install.core.provider import Endpoint, Provider
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.plan import RetryPolicy


@dataclass(frozen=True, slots=True)
class StepTools:
    """What steps work with.

    `explain` says why a service is not ready, from its answer or from why there is none. `measure` returns how complete
    the installation is, within a number of seconds, as the event `verified` holds it. `replaced` returns which data is
    another one than when it was last seen.
    """

    provider: Provider
    http: Http
    telemetry: Telemetry
    programs: Programs
    explain: Callable[[Endpoint, HttpResponse | InstallError], Finding]
    measure: Callable[[float], Sequence[Mapping[str, Any]]]
    replaced: Callable[[Sequence[Storage]], Sequence[Finding]] = lambda _: ()


class BaseStep:
    """A step (`engine.plan.Step`) that has nothing to undo unless it says so."""

    id = ""
    title = ""
    needs: tuple[str, ...] = ()
    retry = RetryPolicy()
    timeout_s = 300.0

    def __init__(self, tools: StepTools) -> None:
        self._tools = tools
        self._provider = tools.provider

    def check(self, ctx: StepContext) -> CheckResult:
        raise NotImplementedError

    def apply(self, ctx: StepContext) -> None:
        raise NotImplementedError

    def undo(self, ctx: StepContext) -> None:
        pass

    def by_hand(self) -> Sequence[str]:
        return self._provider.by_hand(self.id)
