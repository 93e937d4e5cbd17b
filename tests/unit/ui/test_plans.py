"""What would be done, before it is done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.dataclass import replace
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk, finding_from_document
from contextcore_install.ui.checks import remedies, remedies_document, render_plan, render_remedies
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.style import Style
from unit.ui.samples import TITLES, dangerous, hostile_text, json_values, too_wide


def finding(message: str, risk: Risk, *, automatic: bool = False, command: str = "") -> Finding:
    return Finding("x", message, remedy=Remedy(f"heal {message}", command, risk, automatic))


def found(*findings: Finding) -> CheckResult:
    return CheckResult(findings=findings)


CHECKS = {
    "preflight": CheckResult("14 met"),
    "cluster_create": found(finding("broken disk", Risk.LOSES_DATA)),
    "pods_ready": found(
        finding("mimir hangs", Risk.RESTARTS, automatic=True),
        finding("no images", Risk.HARMLESS, command="docker pull x"),
    ),
}
FIRST, SECOND = list(CHECKS)[:2]


def test_a_plan_tells_what_is_so_already_and_what_would_be_done() -> None:
    lines = render_plan(CHECKS, Style(80), TITLES).splitlines()
    assert lines[0] == "2 of 3 steps would be applied."
    assert lines[2] == "  1. = preflight        up to date: 14 met"
    assert lines[3] == "  2. ▸ cluster_create   Create the cluster"
    assert lines[4].strip() == "! broken disk"


def test_a_plan_with_nothing_to_do_says_so() -> None:
    assert render_plan({FIRST: CHECKS[FIRST]}, Style(80), TITLES).startswith("Nothing would be done.")


def test_remedies_come_smallest_risk_first_each_with_its_risk() -> None:
    assert render_remedies(CHECKS, Style(80)).splitlines() == [
        "3 remedies, smallest risk first",
        "  1. [by hand, harmless] heal no images",
        "     pods_ready: no images",
        "     → docker pull x",
        "  2. [restarts something] heal mimir hangs",
        "     pods_ready: mimir hangs",
        "  3. [by hand, loses data] heal broken disk",
        "     cluster_create: broken disk",
    ]


def test_a_remedy_is_typed_as_the_program_was_started_and_for_its_cluster() -> None:
    style = Style(80, typed=Commands("/opt/cc/create-cluster.sh", "demo").typed)
    checks = {"a": found(finding("port", Risk.HARMLESS, command="./create-cluster.sh --resume"))}
    assert "→ /opt/cc/create-cluster.sh --resume --cluster demo" in render_remedies(checks, style)


def test_a_remedy_is_told_once_with_all_that_it_heals_and_what_has_none_comes_last() -> None:
    twice = finding("a", Risk.HARMLESS, automatic=True)
    checks = {
        "s": found(twice, replace(twice, message="b"), Finding("c", "no way")),
        "t": found(Finding("w", "mind", warning=True)),
    }
    assert render_remedies(checks, Style(80)).splitlines() == [
        "1 remedy",
        "  1. [harmless] heal a",
        "     s: a",
        "     s: b",
        "✗ s: no way",
        "! t: mind",
    ]
    (document,) = remedies_document(checks, str)
    assert [item["message"] for item in document["findings"]] == ["a", "b"]


def test_one_remedy_is_not_called_remedies() -> None:
    assert render_remedies({SECOND: CHECKS[SECOND]}, Style(80)).startswith("1 remedy\n")


def test_a_risk_that_is_not_known_is_taken_for_the_greatest() -> None:
    odd = finding_from_document({"message": "odd", "remedy": {"summary": "heal it", "risk": "who-knows"}})
    checks = {"a": found(odd, finding("worse", Risk.LOSES_DATA))}
    assert [healed[0][1].message for _, healed in remedies(checks)] == ["odd", "worse"]
    assert "loses data" in render_remedies(checks, Style(80))


def test_nothing_broken_is_one_line() -> None:
    assert render_remedies({FIRST: CHECKS[FIRST]}, Style(80)) == "✓ Nothing is broken."


findings = st.fixed_dictionaries(
    {"message": json_values},
    optional={
        "evidence": json_values,
        "warning": json_values,
        "remedy": st.one_of(
            json_values, st.dictionaries(st.sampled_from(["summary", "command", "risk", "automatic"]), json_values)
        ),
    },
).map(finding_from_document)
checks = st.dictionaries(
    hostile_text, st.builds(CheckResult, hostile_text, st.lists(findings, max_size=3).map(tuple)), max_size=4
)


@given(checks, st.integers(20, 120))
def test_no_plan_is_too_strange_to_be_shown(found: dict[str, CheckResult], width: int) -> None:
    for shown in (render_plan(found, Style(width), TITLES), render_remedies(found, Style(width))):
        assert not dangerous(shown)
        assert not too_wide(shown, width, exempt=["→"])
