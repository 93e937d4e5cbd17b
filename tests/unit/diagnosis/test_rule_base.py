"""The rule base as a whole: what programs really said leads each to its rule, and what is well leads to none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import Evidence, diagnose, first_match
from contextcore_install.diagnosis.rule import FOLDER as RULE_FILES
from contextcore_install.diagnosis.rule import Rule, Subject, read_rules, rule_from, rules_of
from contextcore_install.providers.kind.requirements import ENGINE_DISK_WANTED
from unit.diagnosis.recordings import FACTS, FOLDER, Recording, recordings

RECORDED = tuple(recordings())
RULES = [(subject, rule) for subject in Subject for rule in rules_of(subject)]
WITH_FALLBACK = {
    Subject.ENGINE, Subject.PULL, Subject.NODE, Subject.KUBECTL, Subject.NAMESPACE, Subject.PROCESS, Subject.HTTP,
    Subject.SERVICE, Subject.LOAD,
}  # fmt: skip
"""Of what is asked about these, something is wrong in any case."""


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
def test_no_rule_takes_what_was_recorded_for_one_behind_it(subject: Subject) -> None:
    """Each rule alone meets the evidence of all others: the particular must stand before the general."""
    known = rules_of(subject)
    places = {rule.id: place for place, rule in enumerate(known)}
    stolen = []
    for place, rule in enumerate(known):
        stolen += [
            (rule.id, item.rule, item.evidence)
            for item in RECORDED
            if item.subject is subject and places[item.rule] > place and first_match([rule], item.evidence)
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
def test_no_condition_could_be_left_out(subject: Subject) -> None:
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
        for name in rule.when:
            loose = replace(rule, when={other: value for other, value in rule.when.items() if other != name})
            if not any(first_match([loose], told) for told in later):
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
    evidence(Subject.MACHINE, facts={"ports": "fixed", "bind": ""}),
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
    assert [rule.id for rule in known[:-1] if not rule.when] == []
    anything = diagnose(subject, Evidence("engine" if subject is Subject.ENGINE else "x", ["something new"]))
    assert (anything is not None) == (subject in WITH_FALLBACK)
    assert anything is None or anything.rule is known[-1]


def test_subjects_and_ids_name_one_rule() -> None:
    assert len({(subject, rule.id) for subject, rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.code or rule.id) for _, rule in RULES)
    assert {path.name for path in RULE_FILES.glob("*.*")} == {f"{name}.toml" for name in (*Subject, "patterns")}


def test_what_loses_data_is_never_done_by_itself() -> None:
    losing = [rule for _, rule in RULES if rule.risk is Risk.LOSES_DATA]
    assert {rule.id for rule in losing} == {"data-damaged", "node-lost", "workers-fixed", "node-image-fixed"}
    assert not any(rule.automatic for rule in losing)


def test_every_pattern_can_be_compiled_and_every_shared_one_is_used() -> None:
    for _, rule in RULES:
        for condition in rule.when.values():
            if isinstance(condition, str):
                re.compile(condition)
    written = "".join((RULE_FILES / f"{subject}.toml").read_text(encoding="utf-8") for subject in Subject)
    assert [name for name in read_rules("patterns") if f"{{{name}}}" not in written] == []


def reasons_of(rule: Rule) -> set[str]:
    listed = rule.when.get("reason", ())
    assert isinstance(listed, tuple)
    return set(listed)


def test_reasons_that_callers_give_are_those_of_rules() -> None:
    known = {
        subject: {word for about, rule in RULES if about is subject for word in reasons_of(rule)} for subject in Subject
    }
    assert known[Subject.CLUSTER] == {
        reasons.NO_CONTEXT, reasons.UNREACHED, reasons.NO_NOTE, reasons.CORDONED, reasons.NODES_LOST,
        reasons.DETACHED, reasons.API_SILENT, reasons.UNREADY, reasons.PORTS_FIXED, reasons.LOST, reasons.FOREIGN,
        reasons.NOT_OURS, reasons.WORKERS_FIXED, reasons.NODE_IMAGE_FIXED,
    }  # fmt: skip
    assert known[Subject.SYSTEM] == {
        reasons.PROXY_GONE, reasons.PROXY_DOWN, reasons.DNS_GONE, reasons.DNS_SCALED_DOWN, reasons.DNS_DOWN,
    }  # fmt: skip
    assert known[Subject.HTTP] == {reasons.SUSPENDED}
    assert known[Subject.WORKLOAD] >= {reasons.MISSING, reasons.SCALED_DOWN}
    words = {reasons.OUT_OF_MEMORY, reasons.UNSCHEDULABLE, reasons.NEVER_READY}
    assert known[Subject.POD] >= reasons.BACKING_OFF | words
    image = [rule for rule in rules_of(Subject.POD) if rule.code in {"image-unavailable", "image-not-found"}]
    assert {word for rule in image for word in reasons_of(rule)} == reasons.IMAGE


def test_what_callers_know_of_single_rules_is_so() -> None:
    ids = {(subject, rule.id) for subject, rule in RULES}
    assert (Subject.CLAIM, reasons.CLAIM_BEFORE_CLASS) in ids
    assert {(Subject.WORKLOAD, name) for name in reasons.WITHOUT_CAUSE | reasons.BY_CONTROLLER} <= ids
    assert {rule.code for _, rule in RULES if reasons.NEVER_READY in reasons_of(rule)} == {reasons.POD_NEVER_READY}
    assert reasons.HANGS in {rule.condition for rule in rules_of(Subject.HTTP)}
    low = next(rule for rule in rules_of(Subject.MACHINE) if rule.id == "engine-disk-low")
    assert low.when["engine_disk"] == {"below": ENGINE_DISK_WANTED}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"mesage": "x"}, "rule 'r': wrong or missing: mesage"),
        ({"id": 1}, "rule 1: wrong or missing: id, code"),
        ({"automatic": "yes"}, "rule 'r': wrong or missing: automatic"),
        ({"grace_s": "2"}, "rule 'r': wrong or missing: grace_s"),
        ({"when": {"log": 3}}, "rule 'r': when.log is no pattern, list of values or `below`"),
        ({"when": {"disk": {"above": 3}}}, "rule 'r': when.disk is no pattern, list of values or `below`"),
        ({"when": {"log": "a {nothing_such}"}}, "rule 'r': when.log: there is no pattern 'nothing_such'"),
        ({"extends": "nothing"}, "rule 'r': there is no template 'nothing'"),
        ({"risk": "none"}, "'none' is not a valid Risk"),
    ],
)
def test_a_rule_that_is_written_wrong_is_named_with_what_is_wrong(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        rule_from("x.toml", {"id": "r", "message": "m", **entry}, {})


def test_a_rule_has_what_its_template_has_unless_it_says_otherwise() -> None:
    template = {"code": "c", "command": "t", "when": {"reason": ["A"], "log": "l"}}
    entry = {"id": "r", "extends": "base", "message": "m", "command": "own", "when": {"log": "{no_space}"}}
    rule = rule_from("x.toml", entry, {"base": template})
    assert (rule.code, rule.command, rule.when["reason"]) == ("c", "own", ("A",))
    assert str(rule.when["log"]).startswith("(?:no space left on device|")
