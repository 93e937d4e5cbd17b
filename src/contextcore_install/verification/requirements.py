"""The requirements of a complete installation, and their verification."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import REPAIR, RESUME, InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import Http
from contextcore_install.core.provider import Probe, Provider, Requirement, Workload
from contextcore_install.core.requirements import Category, Listener, Storage
from contextcore_install.core.text import count
from contextcore_install.core.threads import run_concurrently
from contextcore_install.verification.facts import InstallationFacts, observe
from contextcore_install.verification.grafana import Grafana
from contextcore_install.verification.results import (
    RequirementResult,
    Status,
    failed,
    probe_of_check,
    skipped,
    unknown,
    unmet,
)
from contextcore_install.verification.signals import ANSWER_WITHIN_S, Signals, answers_as

AGAIN_S = 0.5  # between two looks at what is unmet
PHASE_TIMEOUT_S = 20.0  # the most that facts, and then probes, may take; each probe has limits of its own

# What a step's check is about, if not the infrastructure
STEP_CATEGORIES = {
    "preflight": Category.TOOLING,
    "services_verify": Category.OBSERVABILITY,
    "metrics_seed": Category.OBSERVABILITY,
}
_infrastructure = partial(Requirement, category=Category.INFRASTRUCTURE)
_persistence = partial(Requirement, category=Category.DATA_PERSISTENCE)
_security = partial(Requirement, category=Category.SECURITY)
_NOTHING = partial(skipped, "not known: nothing is installed")


@dataclass(frozen=True, slots=True)
class VerificationTarget:
    """What is verified, and the ways to it.

    `spans_url` says where spans are accepted, `write_metric` writes a sample and reads it back; both may raise
    InstallError. `dashboards` and `rules` are the uids of what Grafana is provisioned with. `private` are the files
    and folders that only their owner may read, each with the mode that it has at most. `replaced` reports data that is
    another one than before; None if nothing is known of before.
    """

    provider: Provider
    http: Http
    cluster: str
    now_us: Callable[[], int]
    spans_url: Callable[[], str | None]
    write_metric: Callable[[str], str]
    dashboards: Sequence[str] = ()
    rules: Sequence[str] = ()
    private: Mapping[Path, int] = field(default_factory=dict)
    replaced: Callable[[Sequence[Storage]], Sequence[Finding]] | None = None
    visible_within_s: float = 6.0  # for how long a line or span that was accepted may stay unseen


def verify(target: VerificationTarget, limit_s: float = 2 * PHASE_TIMEOUT_S) -> list[RequirementResult]:
    """Return the result of each requirement, within the limit; nothing is raised for what fails.

    If a node has just started, all is looked at again as long as something is unmet, for a quarter of the limit.
    """
    began = time.monotonic()
    while True:
        half_s = min(PHASE_TIMEOUT_S, (began + limit_s - time.monotonic()) / 2)
        facts = observe(target.provider, half_s)
        results = probe_all(list(requirements(target, facts)), half_s)
        is_over = time.monotonic() - began + AGAIN_S > limit_s / 4
        if is_over or not facts.may_flap or all(result.status is not Status.UNMET for result in results):
            return results
        time.sleep(AGAIN_S)


def requirements(target: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    """Yield what must hold, by category. Adding a requirement is a line here, or in what is called here."""
    if isinstance(facts.requirements, InstallError):
        title, probe = "The machine has what the stack needs", partial(failed, facts.requirements)
        yield Requirement("machine", title, probe, category=Category.INFRASTRUCTURE)
    else:
        yield from facts.requirements
    yield from infrastructure(facts)
    yield from target.provider.cluster_services()
    yield from _observability(target, facts)
    yield from data_persistence(facts, target.replaced)
    yield from security(facts, target.private)


def step_results(checks: Mapping[str, CheckResult], titles: Mapping[str, str]) -> list[RequirementResult]:
    """Return the steps' checks as results: what a step establishes is required."""
    results = []
    for step, check in checks.items():
        probe = partial(probe_of_check, check)
        category = STEP_CATEGORIES.get(step, Category.INFRASTRUCTURE)
        results.append(RequirementResult(Requirement(step, titles.get(step, step), probe, category=category), probe()))
    return results


def probe_all(wanted: Sequence[Requirement], limit_s: float) -> list[RequirementResult]:
    """Probe all concurrently and return the results in the order given."""
    probes = run_concurrently({each.id: each.probe for each in wanted}, limit_s)
    return [
        RequirementResult(each, failed(probe) if isinstance(probe := probes[each.id], InstallError) else probe)
        for each in wanted
    ]


def infrastructure(facts: InstallationFacts) -> Iterator[Requirement]:
    """Yield that each workload runs."""
    if isinstance(facts.workloads, InstallError) or not facts.workloads:
        probe = partial(unknown, facts.workloads) if isinstance(facts.workloads, InstallError) else _NOTHING
        yield _infrastructure("components_running", "The components run", probe)
        return
    for each in facts.workloads:
        yield _infrastructure(f"{each.name}_running", f"{each.name} runs and is ready", partial(_running, each))


def _running(workload: Workload) -> Probe:
    if workload.ready:
        return Probe(workload.condition)
    if workload.finding is not None:
        return Probe(workload.condition, (workload.finding,))
    message = f"{workload.name} is not ready: {workload.condition}."
    return unmet("not-ready", message, workload.condition, command=RESUME)


def data_persistence(
    facts: InstallationFacts, replaced: Callable[[Sequence[Storage]], Sequence[Finding]] | None = None
) -> Iterator[Requirement]:
    """Yield that each component's data outlives it, is the same as before, and that no disk is memory."""
    storages = facts.storage
    if isinstance(storages, InstallError) or not storages:
        probe = partial(unknown, storages) if isinstance(storages, InstallError) else _NOTHING
        yield _persistence("data_persistence", "Data outlives what writes it", probe)
        return
    for storage in storages:
        title = f"What {storage.component} keeps outlives it"
        yield _persistence(f"{storage.component}_data", title, partial(_persistent, storage))
    if replaced is not None:
        title, found = "No data was replaced since it was seen last", replaced(storages)
        yield _persistence("data_is_the_same", title, partial(_same, storages, found), critical=False)
    title = "No data is on a file system in memory"
    yield _persistence("data_on_disk", title, partial(_on_disk, storages), critical=False)


def _persistent(storage: Storage) -> Probe:
    if storage.finding is not None:
        return Probe(storage.evidence, (storage.finding,))
    return Probe(storage.evidence) if storage.place else skipped(storage.evidence)


def _same(storages: Sequence[Storage], replaced: Sequence[Finding]) -> Probe:
    if replaced:
        return Probe(replaced[0].message, tuple(replace(finding, warning=False) for finding in replaced))
    return Probe(", ".join(piece.name for storage in storages for piece in storage.pieces))


def _on_disk(storages: Sequence[Storage]) -> Probe:
    if volatile := [storage.evidence for storage in storages if storage.in_memory]:
        message = "A restart of this machine empties the file system that data is on."
        fix = "Set CONTEXTCORE_HOME to a folder on a disk, and install there"
        return unmet("data-in-memory", message, ", ".join(volatile), fix=fix)
    if seen := [storage.evidence for storage in storages if storage.in_memory is not None]:
        return Probe(", ".join(seen))
    return skipped("what is under the volumes cannot be seen from here")


def security(facts: InstallationFacts, files: Mapping[Path, int]) -> Iterator[Requirement]:
    """Yield that only this machine reaches the stack, and only its owner reads its files."""
    title = "Only this machine reaches the stack"
    yield _security("only_this_machine", title, partial(_unreachable, facts.listeners))
    title = "Only their owner reads the home folder and what is in it"
    yield _security("private_files", title, partial(_private, files), critical=False)


def _unreachable(listeners: Sequence[Listener] | InstallError) -> Probe:
    if isinstance(listeners, InstallError):
        return unknown(listeners)
    if not listeners:
        return skipped("nothing accepts connections now")
    listed = count(len(listeners), "listener")
    if opened := [f"{item.owner} at {item.place}" for item in listeners if item.is_open]:
        message = f"{len(opened)} of {listed} can be reached from other machines."
        fix = "Let it listen on 127.0.0.1 only; a repair reverts what was changed"
        return unmet("open-to-others", message, ", ".join(opened), fix=fix, command=REPAIR)
    return Probe(f"{listed}, all on loopback or inside the cluster")


def _private(files: Mapping[Path, int]) -> Probe:
    there, readable = 0, {}
    for path, most in files.items():
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
        except OSError:
            continue
        there += 1
        if mode & ~most:
            readable[path] = mode
    if readable:
        seen = ", ".join(f"{path} has mode {mode:04o}" for path, mode in readable.items())
        command = " && ".join(f"chmod {files[path]:o} {quote(str(path))}" for path in readable)
        message = "Others can read files of the installation."
        return unmet("files-open", message, seen, fix="Restrict them to their owner", command=command)
    return Probe(f"{there} looked at") if there else skipped("there is nothing yet")


def _observability(target: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    signals = Signals(target.http, target.cluster, target.now_us, target.visible_within_s)

    def metric(store: str) -> Probe:
        return Probe(target.write_metric(store))

    def span(tempo: str) -> Probe:
        receiver = target.spans_url()
        return signals.span(receiver, tempo) if receiver else skipped("nothing accepts spans at the moment")

    def api(title: str, path: str, url: str) -> Probe:
        return answers_as(title, url + path, target.http.ask("GET", url + path, ANSWER_WITHIN_S, {}))

    signal = "A {} that is written can be read back from the {}"
    # Manifests of the user's own may run another program as Loki or Tempo, which is theirs to judge: not critical.
    for name, component, title, probe in (
        ("metric_round_trip", "mimir", signal.format("metric", "metrics store"), metric),
        ("loki_api", "loki", "Loki answers as Loki", partial(api, "Loki", "/loki/api/v1/labels")),
        ("line_round_trip", "loki", signal.format("line", "log store"), signals.line),
        ("tempo_api", "tempo", "Tempo answers as Tempo", partial(api, "Tempo", "/api/echo")),
        ("span_round_trip", "tempo", signal.format("span", "trace store"), span),
    ):
        if not facts.is_wanted(component):
            continue
        url = facts.url(component)
        known = partial(skipped, facts.why_absent(component)) if url is None else partial(probe, url)
        critical = not name.endswith("_api")
        yield Requirement(name, title, known, category=Category.OBSERVABILITY, critical=critical)
    if facts.is_wanted("grafana"):
        yield from _grafana(target, facts)


def _grafana(target: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    url, password, reason = facts.url("grafana"), facts.password, ""
    if url is None:
        reason = facts.why_absent("grafana")
    elif not isinstance(password, str):
        reason = f"not known: {password.message}" if password else "its password is not known here"
    grafana = Grafana(target.http, url or "", password if isinstance(password, str) else "")
    for each in grafana.requirements(target.dashboards, target.rules):
        source = each.id.removeprefix("grafana_").removesuffix("_datasource")
        if not facts.is_wanted(source):
            continue
        absent = each.id.endswith("_datasource") and facts.url(source) is None
        why = reason or (facts.why_absent(source) if absent else "")
        yield replace(each, probe=partial(skipped, why)) if why else each
