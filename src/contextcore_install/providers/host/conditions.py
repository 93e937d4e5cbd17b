"""How each component is: does its process live, does it answer, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.hints import INSTALL_TOOLS, RESUME, own
from contextcore_install.core.ports import Http, StepContext
from contextcore_install.core.provider import Endpoint, Workload
from contextcore_install.diagnosis.diagnose import READ_LINES, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.reasons import SUSPENDED
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.stack.catalogue import component as component_of
from contextcore_install.system.daemons import Daemons, Sighting

#: Seconds that a component gets to answer whether it is ready.
ANSWER_WITHIN_S = 2.0
#: Seconds between two looks: short at first, as most are ready within a second.
FIRST_LOOKS_S, LATER_LOOKS_S, FIRST_LOOKS = 0.1, 0.4, 50


@dataclass(frozen=True, slots=True)
class Watched:
    """A component that should run: where it answers, and what the sentences about it need to know.

    `is_installed` says whether its configuration is in place.
    """

    name: str
    endpoint: Endpoint
    facts: Mapping[str, str]
    has_program: bool
    is_installed: bool


class ProcessConditions:
    """Looks at components, all at the same time."""

    def __init__(self, daemons: Daemons, http: Http) -> None:
        self._daemons = daemons
        self._http = http

    def now(self, watched: Sequence[Watched]) -> list[Workload]:
        """Return each component's condition."""
        if len(watched) <= 1:
            return [self._of(item) for item in watched]
        with ThreadPoolExecutor(len(watched)) as pool:
            return list(pool.map(self._of, watched))

    def changes(self, watched: Sequence[Watched], ctx: StepContext) -> Iterator[list[Workload]]:
        """Yield the conditions now and at every change, for ever; raises CancelledError when the step is to end."""
        before: list[Workload] | None = None
        looks = 0
        while True:
            ctx.raise_if_cancelled()
            workloads = self.now(watched)
            if workloads != before:
                before = workloads
                yield workloads
            looks += 1
            ctx.wait(FIRST_LOOKS_S if looks < FIRST_LOOKS else LATER_LOOKS_S)

    def _of(self, item: Watched) -> Workload:
        sighting = self._daemons.look(item.name)
        if not sighting.alive:
            return self._dead(item, sighting)
        try:
            answer = self._http.get(item.endpoint.ready_url, ANSWER_WITHIN_S)
        except InstallError as error:
            reason = SUSPENDED if self._daemons.is_suspended(item.name) else ""
            evidence = Evidence(item.name, reason=reason, error=error.code, facts=item.facts)
        else:
            if 200 <= answer.status < 300:
                return self._ready(item)
            evidence = Evidence(item.name, http_status=answer.status, http_text=answer.text, facts=item.facts)
        found = explain(Subject.HTTP, evidence)
        condition = found.condition or found.finding.message
        return Workload(item.name, ready=False, condition=condition, finding=found.problem)

    def _ready(self, item: Watched) -> Workload:
        # A process that cannot have its port dies of it, and until then another one may answer in its place.
        sighting = self._daemons.look(item.name)
        return Workload(item.name, ready=True, condition="ready") if sighting.alive else self._dead(item, sighting)

    def _dead(self, item: Watched, sighting: Sighting) -> Workload:
        if not item.is_installed and sighting.record is None:
            return Workload(item.name, ready=False, condition="not installed", finding=_not_installed(item))
        if not item.has_program:
            return Workload(item.name, ready=False, condition="its program is gone", finding=_gone(item))
        if sighting.record is None or sighting.rebooted:
            finding = _not_running(item, sighting.note)
            return Workload(item.name, ready=False, condition="not running", finding=finding)
        lines = self._daemons.last_words(item.name, READ_LINES)
        found = explain(Subject.PROCESS, Evidence(item.name, lines, sighting.exit_code, facts=item.facts))
        return Workload(item.name, ready=False, condition="ended", finding=found.finding)


def _not_running(item: Watched, note: str) -> Finding:
    remedy = Remedy("Start it.", RESUME, Risk.HARMLESS, automatic=True)
    return Finding("not-running", f"{item.facts['title']} is not running.", note, remedy)


def _not_installed(item: Watched) -> Finding:
    remedy = Remedy("Install it.", own(), Risk.HARMLESS, automatic=True)
    return Finding("not-installed", f"{item.facts['title']} is not installed.", remedy=remedy)


def _gone(item: Watched) -> Finding:
    component = component_of(item.name)
    remedy = Remedy(f"Get it back: {component.hint}" if component.hint else "Put the program back on PATH.")
    if item.name == "mimir":
        remedy = Remedy("Get it back.", INSTALL_TOOLS, Risk.HARMLESS)
    message = f"The program of {item.facts['title']} is gone, and its process has ended."
    return Finding("program-gone", message, item.facts.get("command", ""), remedy)
