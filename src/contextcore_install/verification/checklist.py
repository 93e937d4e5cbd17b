"""The list of what makes an installation complete, and the way through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.ports import Http
from contextcore_install.core.provider import Probe, Provider, Requirement
from contextcore_install.core.requirements import Category, Storage
from contextcore_install.verification.facts import InstallationFacts, observe
from contextcore_install.verification.grafana import Grafana
from contextcore_install.verification.requirements import PrivateFile, data_persistence, infrastructure, security
from contextcore_install.verification.results import RequirementResult, failed, of_check, skipped
from contextcore_install.verification.signals import Signals, reads_api
from contextcore_install.verification.together import together

FACTS_WITHIN_S, PROBES_WITHIN_S = 20.0, 20.0
"""The most that a verification takes for each of its two halves, in seconds; each probe has limits of its own."""

STEP_CATEGORIES = {"preflight": Category.TOOLING, "services_verify": Category.OBSERVABILITY}
STEP_CATEGORIES |= {"metrics_seed": Category.OBSERVABILITY}
"""What a step's check is about, where that is not the infrastructure."""


@dataclass(frozen=True, slots=True)
class VerificationTarget:
    """What is verified, and the ways to it.

    `spans_url` says where spans are taken, `write_metric` writes a sample and reads it back; both may raise
    InstallError. `dashboards` and `rules` are the uids of what Grafana is provisioned with. `replaced` tells of
    data that is another one than before; None where nothing is known of before.
    """

    provider: Provider
    http: Http
    cluster: str
    now_us: Callable[[], int]
    spans_url: Callable[[], str | None]
    write_metric: Callable[[str], str]
    dashboards: Sequence[str] = ()
    rules: Sequence[str] = ()
    private: Sequence[PrivateFile] = field(default=())
    replaced: Callable[[Sequence[Storage]], Sequence[Finding]] | None = None


def verify(subject: VerificationTarget, limit_s: float = FACTS_WITHIN_S + PROBES_WITHIN_S) -> list[RequirementResult]:
    """Return how each requirement is, within the limit; nothing is raised for what fails."""
    share = limit_s / 2
    facts = observe(subject.provider, min(FACTS_WITHIN_S, share))
    return look_at(list(requirements(subject, facts)), min(PROBES_WITHIN_S, share))


def requirements(subject: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    """Yield what must hold, by category. Adding a requirement is a line here, or in what is called here."""
    if isinstance(facts.requirements, InstallError):
        yield Requirement(
            "machine",
            "The machine has what the stack needs",
            partial(failed, facts.requirements),
            category=Category.INFRASTRUCTURE,
        )
    else:
        yield from facts.requirements
    yield from infrastructure(facts)
    yield from subject.provider.cluster_services()
    yield from _observability(subject, facts)
    yield from data_persistence(facts, subject.replaced)
    yield from security(facts, subject.private)


def of_steps(checks: Mapping[str, CheckResult], titles: Mapping[str, str]) -> list[RequirementResult]:
    """Return the steps' checks as results: what a step makes so is required."""
    return [
        RequirementResult(
            Requirement(
                step,
                titles.get(step, step),
                partial(of_check, check),
                category=STEP_CATEGORIES.get(step, Category.INFRASTRUCTURE),
            ),
            of_check(check),
        )
        for step, check in checks.items()
    ]


def look_at(wanted: Sequence[Requirement], limit_s: float) -> list[RequirementResult]:
    """Probe all at the same time and return the results in the order given."""
    outcomes = together({each.id: each.probe for each in wanted}, limit_s)
    results = []
    for each in wanted:
        outcome = outcomes[each.id]
        probe = failed(outcome) if isinstance(outcome, InstallError) else outcome
        results.append(RequirementResult(each, probe))
    return results


def _observability(subject: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    store, loki, tempo = facts.url("mimir"), facts.url("loki"), facts.url("tempo")
    signals = Signals(subject.http, subject.cluster, subject.now_us)
    yield _signal("metric", "metrics store", facts, "mimir", lambda: Probe(subject.write_metric(store or "")))
    loki_url, tempo_url = f"{loki}/loki/api/v1/labels", f"{tempo}/api/echo"
    yield _api("loki", "Loki", facts, lambda: reads_api(subject.http, "Loki", loki_url))
    yield _signal("line", "log store", facts, "loki", lambda: signals.line(loki or ""))
    yield _api("tempo", "Tempo", facts, lambda: reads_api(subject.http, "Tempo", tempo_url))
    yield _signal("span", "trace store", facts, "tempo", lambda: _span(subject, signals, tempo or ""))
    yield from _grafana(subject, facts)


def _signal(what: str, where: str, facts: InstallationFacts, component: str, probe: Callable[[], Probe]) -> Requirement:
    title = f"A {what} that is written can be read back from the {where}"
    there = facts.url(component) is not None
    look = probe if there else partial(skipped, facts.why_absent(component))
    return Requirement(f"{what}_round_trip", title, look, category=Category.OBSERVABILITY)


def _api(component: str, title: str, facts: InstallationFacts, probe: Callable[[], Probe]) -> Requirement:
    # Manifests of the user's own may run another program in its place, and that is theirs to judge.
    there = facts.url(component) is not None
    look = probe if there else partial(skipped, facts.why_absent(component))
    return Requirement(
        f"{component}_api", f"{title} answers as {title}", look, category=Category.OBSERVABILITY, critical=False
    )


def _span(subject: VerificationTarget, signals: Signals, tempo: str) -> Probe:
    taker = subject.spans_url()
    return signals.span(taker, tempo) if taker else skipped("there is no way for spans at the moment")


def _grafana(subject: VerificationTarget, facts: InstallationFacts) -> Iterator[Requirement]:
    url = facts.url("grafana")
    password = facts.password
    reason = facts.why_absent("grafana") if url is None else ""
    if isinstance(password, InstallError):
        reason, password = reason or f"not known: {password.message}", None
    for each in Grafana(subject.http, url or "", password).requirements(subject.dashboards, subject.rules):
        source = each.id.removeprefix("grafana_").removesuffix("_datasource")
        absent = each.id.endswith("_datasource") and facts.url(source) is None
        why = reason or (facts.why_absent(source) if absent else "")
        if why:
            yield Requirement(
                each.id, each.title, partial(skipped, why), category=each.category, critical=each.critical
            )
        else:
            yield each
