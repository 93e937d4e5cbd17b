"""The condition of each component: whether its process lives and answers, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import INSTALL_TOOLS, RESUME, InstallError, own
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.interfaces import Http, StepContext
from contextcore_install.core.provider import Endpoint, Workload
from contextcore_install.diagnosis.diagnose import READ_LINES, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.reasons import SUSPENDED
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.stack.catalogue import Component
from contextcore_install.system.daemons import Daemons, Sighting

ANSWER_WITHIN_S = 2.0
EARLY_INTERVAL_S, LATER_INTERVAL_S, EARLY_CHECKS = 0.1, 0.4, 50  # most components are ready within a second


@dataclass(frozen=True, slots=True)
class Watched:
    """A component that should run: where it answers, and what rules and messages about it refer to.

    `is_installed` says whether its configuration is in place.
    """

    component: Component
    endpoint: Endpoint
    facts: Mapping[str, str]
    has_program: bool
    is_installed: bool

    @property
    def name(self) -> str:
        return self.component.name


@dataclass(frozen=True, slots=True)
class ProcessConditions:
    """Checks components, all at the same time."""

    daemons: Daemons
    http: Http

    def now(self, watched: Sequence[Watched]) -> list[Workload]:
        if len(watched) <= 1:
            return [self._of(item) for item in watched]
        with ThreadPoolExecutor(len(watched)) as pool:
            return list(pool.map(self._of, watched))

    def changes(self, watched: Sequence[Watched], ctx: StepContext) -> Iterator[list[Workload]]:
        """Yield the conditions now and at every change, for ever; raises CancelledError when the step is to end."""
        before: list[Workload] | None = None
        checks = 0
        while True:
            ctx.raise_if_cancelled()
            workloads = self.now(watched)
            if workloads != before:
                before = workloads
                yield workloads
            checks += 1
            ctx.wait(EARLY_INTERVAL_S if checks < EARLY_CHECKS else LATER_INTERVAL_S)

    def _of(self, item: Watched) -> Workload:
        sighting = self.daemons.look(item.name)
        if not sighting.alive:
            return self._dead(item, sighting)
        try:
            answer = self.http.get(item.endpoint.ready_url, ANSWER_WITHIN_S)
        except InstallError as error:
            reason = SUSPENDED if self.daemons.is_suspended(item.name) else ""
            evidence = Evidence(item.name, reason=reason, error=error.code, facts=item.facts)
        else:
            if item.endpoint.is_ready(answer.status):
                # A process that cannot have its port dies of it, and until then another one may answer in its place.
                sighting = self.daemons.look(item.name)
                ready = Workload(item.name, ready=True, condition="ready")
                return ready if sighting.alive else self._dead(item, sighting)
            evidence = Evidence(item.name, http_status=answer.status, http_text=answer.text, facts=item.facts)
        found = explain(Subject.HTTP, evidence)
        return Workload(item.name, False, found.condition or found.finding.message, found.problem)

    def _dead(self, item: Watched, sighting: Sighting) -> Workload:
        condition, finding = "ended", None
        title = item.component.title
        if not item.is_installed and sighting.record is None:
            condition = "not installed"
            remedy = Remedy("Install it.", own(), Risk.HARMLESS, automatic=True)
            finding = Finding("not-installed", f"{title} is not installed.", remedy=remedy)
        elif not item.has_program:
            condition = "its program is gone"
            remedy = Remedy("Get it back.", INSTALL_TOOLS)
            finding = Finding("program-gone", f"The program of {title} is gone, and its process has ended.", "", remedy)
        elif sighting.record is None or sighting.rebooted:
            condition = "not running"
            remedy = Remedy("Start it.", RESUME, Risk.HARMLESS, automatic=True)
            finding = Finding("not-running", f"{title} is not running.", sighting.note, remedy)
        else:
            lines = self.daemons.last_words(item.name, READ_LINES)
            evidence = Evidence(item.name, lines, sighting.exit_code, facts=item.facts)
            finding = explain(Subject.PROCESS, evidence).finding
        return Workload(item.name, False, condition, finding)
