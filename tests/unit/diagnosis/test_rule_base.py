"""The rule base as a whole: what programs really said leads each to its rule, and what is well leads to none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis import diagnose as matching
from contextcore_install.diagnosis import rules
from contextcore_install.diagnosis.catalogue import all_rules, rules_of
from contextcore_install.diagnosis.diagnose import diagnose
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Rule, Subject
from unit.diagnosis.recordings import FACTS, FOLDER, Recording, recordings

RECORDED = tuple(recordings())
RULES = [(subject, rule) for subject, known in all_rules().items() for rule in known]
CONDITIONS = ("log", "message", "reasons", "exit_codes", "errors", "http_statuses", "where", "below")
WITH_FALLBACK = {
    Subject.ENGINE, Subject.PULL, Subject.NODE, Subject.KUBECTL, Subject.NAMESPACE, Subject.PROCESS, Subject.HTTP,
    Subject.SERVICE, Subject.LOAD,
}  # fmt: skip
"""Of what is asked about these, something is wrong in any case."""


def conditions(rule: Rule) -> dict[str, Any]:
    return {name: value for name in CONDITIONS if (value := getattr(rule, name))}


def named(pair: tuple[Subject, Rule]) -> str:
    return f"{pair[0]}: {pair[1].id}"


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda item: item.name)
def test_what_was_recorded_leads_to_its_rule_and_a_whole_sentence(recorded: Recording) -> None:
    found = diagnose(recorded.subject, recorded.evidence)
    assert found is not None
    assert found.rule.id == recorded.rule
    assert found.finding.code == found.rule.code or found.rule.id
    assert recorded.says in found.finding.message
    remedy = found.finding.remedy
    said = [found.finding.message, found.condition, *((remedy.summary, remedy.command) if remedy else ())]
    for text in said:
        assert not re.search(r"\?|(?<!\$)(?<!\{)\{\w+\}(?!\})", text), text
    assert bool(found.condition) != bool(found.problem)
    assert remedy or found.condition, "there is nothing that the user could do"
    shlex.split(remedy.command if remedy else "")


@pytest.mark.parametrize("subject", Subject)
def test_no_rule_takes_what_was_recorded_for_one_behind_it(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule alone meets the evidence of all others: the particular must stand before the general."""
    known = rules_of(subject)
    places = {rule.id: place for place, rule in enumerate(known)}
    stolen = []
    for place, rule in enumerate(known):
        monkeypatch.setattr(matching, "rules_of", lambda _, alone=rule: (alone,))
        stolen += [
            (rule.id, item.rule, item.evidence)
            for item in RECORDED
            if item.subject is subject and places[item.rule] > place and diagnose(subject, item.evidence)
        ]
    assert stolen == []


NOISE = "?timeout=3s&try=again&quota=exceeded&tls=handshake+timeout&code=429"


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda item: item.name)
def test_what_stands_in_the_query_of_a_url_leads_to_no_rule(recorded: Recording) -> None:
    def noisy(text: str) -> str:
        return re.sub(r"(https?://[^\s\"'?]+?)(\?[^\s\"']*)?(?=[\s\"'):,]*(?:\s|\"|$))", rf"\g<1>{NOISE}", text)

    told = recorded.evidence
    changed = replace(told, lines=[noisy(line) for line in told.lines], message=noisy(told.message))
    found = diagnose(recorded.subject, changed)
    assert found is not None
    assert found.rule.id == recorded.rule


REFUSALS = ("webhook-unreachable", "webhook-denied", "policy-denied", "over-quota", "outside-limits")


@pytest.mark.parametrize("about", REFUSALS)
def test_what_the_api_server_refuses_is_told_alike_by_a_controller_and_by_kubectl(about: str) -> None:
    """The words are the server's, whoever passes them on."""
    said = [
        text
        for item in RECORDED
        if item.rule == about
        for text in (item.evidence.message, "\n".join(item.evidence.lines))
        if text
    ]
    assert len(said) > 1
    for text in said:
        for subject, seen in (
            evidence(Subject.WORKLOAD, reason="FailedCreate", message=text),
            evidence(Subject.KUBECTL, *text.splitlines()),
        ):
            found = diagnose(subject, seen)
            assert found is not None
            assert found.rule.id == about


def test_every_rule_is_shown_by_a_recording_and_every_subject_has_its_file() -> None:
    shown = {(item.subject, item.rule) for item in RECORDED}
    assert [named(pair) for pair in RULES if (pair[0], pair[1].id) not in shown] == []
    assert {path.stem for path in FOLDER.iterdir()} == {subject.value for subject in Subject}


@pytest.mark.parametrize("subject", Subject)
def test_no_condition_could_be_left_out(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of its conditions a rule takes evidence that is another's, or what is well for ill."""
    known = rules_of(subject)
    places = {rule.id: place for place, rule in enumerate(known)}
    seen = [(item.evidence, places[item.rule]) for item in RECORDED if item.subject is subject]
    seen += [(well, len(known)) for about, well in HEALTHY if about is subject]
    # The same words beside another reason say nothing.
    seen += [(replace(told, reason="Another"), len(known)) for told, _ in seen if told.reason]
    idle = []
    for place, rule in enumerate(known):
        later = [told for told, wanted in seen if wanted > place]
        for name, value in conditions(rule).items():
            loose = (replace(rule, **{name: type(value)()}),)
            monkeypatch.setattr(matching, "rules_of", lambda _, loose=loose: loose)
            if not any(diagnose(subject, told) for told in later):
                idle.append((rule.id, name))
    assert idle == []


def evidence(subject: Subject, *lines: str, facts: Mapping[str, str] | None = None, **more: Any) -> Any:
    return subject, Evidence(subject.value, lines, facts={**FACTS[subject], **(facts or {})}, **more)


HEALTHY: list[tuple[Subject, Evidence]] = [
    evidence(Subject.MACHINE),
    evidence(Subject.MACHINE, facts={"engine_memory": "3800"}),
    evidence(Subject.MACHINE, facts={"engine_cpus": "2"}),
    evidence(Subject.MACHINE, facts={"engine_disk": "8192", "nodes": "none"}),
    evidence(Subject.MACHINE, facts={"engine_disk": "2048", "nodes": "made"}),
    evidence(Subject.MACHINE, facts={"cgroup": "2", "node_image": "refuses"}),
    evidence(Subject.MACHINE, facts={"max_user_watches": "524288", "max_user_instances": "512"}),
    evidence(Subject.MACHINE, facts={"engine_path": "/usr/bin/docker", "temporary_files": "elsewhere"}),
    evidence(Subject.MACHINE, facts={"engine_path": "/snap/bin/docker", "temporary_files": "at home"}),
    evidence(Subject.MACHINE, facts={"proxies": "HTTP_PROXY", "no_proxy": "localhost,127.0.0.1"}),
    evidence(Subject.MACHINE, facts={"proxies": "HTTP_PROXY", "no_proxy": "127.0.0.1,localhost"}),
    evidence(Subject.MACHINE, facts={"proxies": "HTTP_PROXY", "no_proxy": "*"}),
    evidence(Subject.MACHINE, facts={"proxies": "", "no_proxy": ""}),
    evidence(Subject.MACHINE, facts={"memory": "900", "wanted": "900"}),
    evidence(
        Subject.MACHINE,
        facts={"rootless": "yes", "cgroup": "2", "node_image": "takes", "lacks": "", "delegated": "yes"},
    ),
    evidence(Subject.MACHINE, facts={"rootless": "yes", "port": "3000", "privileged_below": "1024"}),
    evidence(Subject.MACHINE, facts={"rootless": "no", "port": "80", "privileged_below": "1024"}),
    evidence(Subject.MACHINE, facts={"disk": "2048", "place": "/home"}),
    evidence(
        Subject.KIND,
        'Creating cluster "demo" ...',
        " ✓ Ensuring node image (kindest/node:v1.37.0) 🖼",
        " ✓ Preparing nodes 📦 📦 📦",
        " ✓ Writing configuration 📜",
        " ✓ Starting control-plane 🕹️",
        " ✓ Installing CNI 🔌",
        " ✓ Installing StorageClass 💾",
        " ✓ Joining worker nodes 🚜",
        'Set kubectl context to "kind-demo"',
        "Have a nice day! 👋",
    ),
    (Subject.ENGINE, Evidence("kind", ["Set kubectl context to kind-demo", "open x: no such file or directory"])),
    (Subject.ENGINE, Evidence("kind", ["it did not end in time"], error="command-timeout")),
    (Subject.ENGINE, Evidence("kind", ["there is no kind"], error="command-missing")),
    (Subject.ENGINE, Evidence("kind")),
    evidence(Subject.CLUSTER),
    evidence(Subject.WORKLOAD, reason="SuccessfulCreate", message="create Pod loki-0 in StatefulSet loki successful"),
    evidence(Subject.CLAIM, reason="ProvisioningSucceeded", message="Successfully provisioned volume pvc-1a"),
    evidence(Subject.POD, reason="ContainerCreating"),
    evidence(Subject.POD, reason="PodInitializing"),
    evidence(Subject.POD, reason="Scheduled", message="Successfully assigned observability/loki-0 to demo-worker"),
    evidence(Subject.POD, reason="Pulling", message='Pulling image "grafana/loki:3.7.6"'),
    evidence(Subject.POD, reason="Pulled", message='Successfully pulled image "grafana/loki:3.7.6" in 4.2s'),
    evidence(Subject.POD, reason="Started", message="Started container loki"),
    evidence(Subject.POD, "open /x: permission denied", "no space left on device", reason="", exit_code=0),
]


@pytest.mark.parametrize(
    ("subject", "seen"), HEALTHY, ids=lambda item: str(item.component if isinstance(item, Evidence) else item)
)
def test_what_is_well_leads_to_no_rule(subject: Subject, seen: Evidence) -> None:
    assert diagnose(subject, seen) is None


@pytest.mark.parametrize("subject", Subject)
def test_only_the_last_rule_of_a_subject_may_fit_everything(subject: Subject) -> None:
    known = rules_of(subject)
    assert [rule.id for rule in known[:-1] if not conditions(rule)] == []
    anything = diagnose(subject, Evidence("engine" if subject is Subject.ENGINE else "x", ["something new"]))
    assert (anything is not None) == (subject in WITH_FALLBACK)
    assert anything is None or anything.rule is known[-1]


def test_subjects_and_ids_name_one_rule() -> None:
    assert len({(subject, rule.id) for subject, rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.code or rule.id) for _, rule in RULES)
    modules = {path.stem for path in (FOLDER.parents[3] / "src").rglob("diagnosis/rules/*.py")}
    assert {subject.value for subject in Subject} <= modules
    assert rules.__doc__


def test_what_loses_data_is_never_done_by_itself() -> None:
    losing = [rule for _, rule in RULES if rule.risk is Risk.LOSES_DATA]
    assert {rule.id for rule in losing} == {"data-damaged", "node-lost"}
    assert not any(rule.automatic for rule in losing)
