"""The status for people."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.state import MOST_ATTEMPTS, State, StepState, state_from_document
from contextcore_install.engine.status import status_document
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.status import live_findings, render_status
from contextcore_install.ui.style import Style
from unit.ui.samples import ENDLESS, dangerous, hostile_text, json_values, too_wide

TIME = "2026-01-01T12:00:05Z"
EXEMPT = ("→", "./create-cluster.sh")


def state(**steps: dict[str, Any]) -> State:
    return state_from_document(
        {
            "version": "1.0",
            "cluster_name": "o11y-dev",
            "provider": "host",
            "started_at": TIME,
            "updated_at": TIME,
            "run": {"run_id": "run-1", "mode": "install", "outcome": "failed"},
            "steps": {step: steps.get(step, {"status": "pending"}) for step in STEP_IDS},
        }
    )


def done(seconds: float = 1.0) -> dict[str, Any]:
    return {"status": "completed", "completed_at": TIME, "attempts": 1, "duration_seconds": seconds}


def test_a_failed_installation_shows_what_failed_and_the_command_to_carry_on() -> None:
    error = {"code": "crash", "message": "mimir keeps crashing", "hint": "kubectl logs mimir-0"}
    failed = {"status": "failed", "attempts": 3, "started_at": TIME, "duration_seconds": 70, "error": error}
    shown = state(preflight=done(0.8), cluster_create=done(42), manifests_apply=done(), pods_ready=failed)
    assert render_status(status_document(shown, live=False), Style(80)).splitlines() == [
        "o11y-dev on host: failed, 3 of 6 steps done",
        "last change 2026-01-01 12:00:05 UTC",
        "",
        "  ✓ preflight        completed           0.8 s       2026-01-01 12:00:05",
        "  ✓ cluster_create   completed           42 s        2026-01-01 12:00:05",
        "  ✓ manifests_apply  completed           1.0 s       2026-01-01 12:00:05",
        "  ✗ pods_ready       failed     3 tries  1 min 10 s  2026-01-01 12:00:05",
        "      mimir keeps crashing",
        "      → kubectl logs mimir-0",
        "  · services_verify  pending",
        "  · metrics_seed     pending",
        "",
        "Next  ./create-cluster.sh --resume  carries on from there",
        "      ./create-cluster.sh --repair  checks everything, and fixes it",
    ]


def test_nothing_installed_shows_the_command_that_installs() -> None:
    lines = render_status(status_document(State("o11y-dev"), live=False), Style(80)).splitlines()
    assert lines[0] == "o11y-dev: nothing is installed"
    assert lines[-1] == "Next  ./create-cluster.sh  installs"
    assert sum("pending" in line for line in lines) == 6


def test_a_step_that_was_cut_off_is_not_said_to_run() -> None:
    shown = state(preflight={"status": "in_progress", "started_at": TIME, "attempts": 1})
    assert "interrupted" in render_status(status_document(shown, live=False), Style(80)).splitlines()[3]
    assert "in progress" in render_status(status_document(shown, live=True), Style(80)).splitlines()[3]


def test_a_step_that_is_to_be_done_again_does_not_look_done() -> None:
    undone = done() | {"status": "pending", "attempts": 3, "started_at": TIME}
    shown = render_status(status_document(state(preflight=undone), live=False), Style(80)).splitlines()
    assert shown[3].split() == ["·", "preflight", "pending"]


def test_a_run_under_way_names_who_runs_it() -> None:
    document = status_document(state(), live=True, holder={"pid": 42, "host": "box"})
    shown = render_status(document, Style(80))
    assert "by process 42 on box" in shown
    assert "Next  ./create-cluster.sh --attach " in shown


def test_commands_name_the_cluster_where_it_is_not_the_usual_one() -> None:
    shown = state()
    shown.cluster_name = "demo"
    document = status_document(shown, live=False)
    assert "./create-cluster.sh --resume --cluster demo" in render_status(document, Style(80))
    commands = Commands("contextcore-install", "demo", default_cluster="demo")
    assert "contextcore-install --resume  carries" in render_status(document, Style(80), commands)


def test_what_was_cut_off_while_it_was_installed_from_a_bundle_is_carried_on_with_it() -> None:
    commands = Commands(bundle=lambda: "/m/stack.tar")
    cut_off = state(preflight=done(), cluster_create={"status": "in_progress", "started_at": TIME, "attempts": 1})
    shown = render_status(status_document(cut_off, live=False), Style(80), commands)
    assert "Next  ./create-cluster.sh --resume --bundle /m/stack.tar  carries" in shown
    later = state(preflight=done(), cluster_create=done(), manifests_apply=done())
    shown = render_status(status_document(later, live=False), Style(80), commands)
    assert "Next  ./create-cluster.sh --resume  carries" in shown, "all of it is in place: the file may be gone"


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        ("./create-cluster.sh --resume", "p --resume --cluster demo"),
        ("put it on PATH, then: ./create-cluster.sh --resume", "put it on PATH, then: p --resume --cluster demo"),
        ("./create-cluster.sh watch --cluster two", "p watch --cluster two"),
        ("run ./create-cluster.sh --resume: it begins anew", "run p --resume --cluster demo: it begins anew"),
        ("p --help, or ./create-cluster.sh, which knows", "p --help, or p --cluster demo, which knows"),
        ("look around", "look around"),
    ],
)
def test_every_command_in_a_hint_names_the_cluster(hint: str, typed: str) -> None:
    assert Commands("p", "demo").typed(hint) == typed


def test_a_cluster_name_with_a_meaning_to_the_shell_is_quoted() -> None:
    assert Commands("p", "a; rm -rf ~")("--resume") == "p --resume --cluster 'a; rm -rf ~'"


def test_live_findings_stand_below_their_step_with_their_remedies() -> None:
    remedy = Remedy("start it", "sudo systemctl start docker")
    finding = Finding("x", "Docker does not run", "no socket\nno pid", remedy)
    checks = {"preflight": CheckResult("14 met"), "cluster_create": CheckResult(findings=(finding,))}
    assert live_findings(checks, Style(80)) == [
        "Checked now  1 of 2 steps as it should be",
        "  ✓ preflight      14 met",
        "  ✗ cluster_create 1 finding",
        "    ! Docker does not run",
        "      no socket",
        "      no pid",
        "      → sudo systemctl start docker",
    ]
    ways = [{"component": "grafana", "url": "http://127.0.0.1:3000"}]
    document = status_document(state(), live=False) | {"endpoints": ways}
    assert "\nWhere\n  grafana  http://127.0.0.1:3000\n" in render_status(document, Style(20), checks=checks)
    assert "\n".join(live_findings(checks, Style(80))) in render_status(document, Style(80), checks=checks)


def test_what_a_run_heals_by_itself_has_no_command_of_its_own_and_the_repair_comes_first() -> None:
    remedies = (
        Remedy("send it, and read it back", automatic=True),
        Remedy("Start it.", "./create-cluster.sh --resume", automatic=True),
    )
    findings = tuple(Finding("down", "it is down", remedy=remedy) for remedy in remedies)
    checks = {"pods_ready": CheckResult(findings=findings)}
    document = status_document(state(**{step: done() for step in STEP_IDS}), live=False)
    shown = render_status(document, Style(80), checks=checks)
    assert "→" not in shown
    assert shown.splitlines()[-2:] == [
        "Next  ./create-cluster.sh --repair  fixes what is broken",
        "      ./create-cluster.sh verify    checks everything",
    ]
    assert "Next  ./create-cluster.sh --status --live  how it is now, and its URLs" in render_status(
        document, Style(80)
    )
    assert "--status --live" not in shown, "that is what was just done"


def test_a_remedy_that_loses_data_is_to_be_typed_though_a_run_can_carry_it_out() -> None:
    command = "./create-cluster.sh --repair --allow-data-loss --cluster lab"
    finding = Finding("torn", "torn", remedy=Remedy("", command, Risk.LOSES_DATA, automatic=True))
    checks = {"pods_ready": CheckResult(findings=(finding,))}
    assert live_findings(checks, Style(80))[-1] == f"      → {command}"


def test_what_is_complete_on_record_and_down_now_is_headed_as_broken_and_its_address_is_marked() -> None:
    document = status_document(state(**{step: done() for step in STEP_IDS}), live=False)
    ways = [
        {"component": "mimir", "url": "http://127.0.0.1:9009", "answers": False},
        {"component": "grafana", "url": "http://127.0.0.1:3000", "answers": True},
    ]
    shown = render_status(document | {"endpoints": ways}, Style(80, colour=True), checks={})
    header = shown.splitlines()[0]
    assert "installed, and broken now" in header
    assert "\x1b[32m" not in header, "nothing is green while something is down"
    plain = render_status(document | {"endpoints": ways}, Style(80), checks={})
    assert "  mimir    http://127.0.0.1:9009  does not answer\n" in plain
    assert "  grafana  http://127.0.0.1:3000\n" in plain
    unsatisfied = {"pods_ready": CheckResult(findings=(Finding("down", "it is down"),))}
    assert "broken now" in render_status(document, Style(80), checks=unsatisfied).splitlines()[0]


step_states = st.fixed_dictionaries(
    {"status": st.sampled_from(["pending", "in_progress", "completed", "failed"])},
    optional={
        "attempts": st.integers(0, MOST_ATTEMPTS - 1),
        "started_at": st.just(TIME),
        "completed_at": st.just(TIME),
        "duration_seconds": st.one_of(st.floats(0, 10**8), st.integers(0, 10**8)),
        "error": st.one_of(
            st.none(), st.dictionaries(st.sampled_from(["code", "message", "hint", "evidence"]), json_values)
        ),
    },
)
states = st.builds(
    lambda name, provider, steps, run: state_from_document(
        {
            "version": "1.0",
            "cluster_name": name,
            "provider": provider,
            "started_at": TIME,
            "steps": steps,
            "run": {"run_id": run},
        }
    ),
    hostile_text,
    hostile_text,
    st.dictionaries(st.one_of(st.sampled_from(STEP_IDS), hostile_text), step_states, max_size=8),
    hostile_text,
)


@given(states, st.integers(20, 140), st.booleans(), st.booleans())
def test_every_state_can_be_shown_and_fits(shown: State, width: int, unicode: bool, live: bool) -> None:
    rendered = render_status(
        status_document(shown, live=live), Style(width, unicode=unicode), Commands(cluster="o11y-dev")
    )
    assert not dangerous(rendered)
    assert not too_wide(rendered, width, exempt=(*EXEMPT, "->"))


@pytest.mark.parametrize("text", ENDLESS, ids=["plain", "escapes"])
def test_a_megabyte_in_an_error_is_shown_short(text: str) -> None:
    state = State("test", started_at="2026-01-01T12:00:00Z")
    state.steps["preflight"] = StepState("failed", error={"code": text, "message": text, "hint": text})
    shown = render_status(status_document(state, live=False), Style(60))
    assert len(shown) < 20_000
    assert not dangerous(shown)


def test_records_that_differ_are_told_side_by_side_and_so_is_who_is_at_work() -> None:
    records = {
        "lease": {"host": "laptop", "since": TIME},
        "trouble": "it cannot be read",
        "differ": True,
        "counts": "cluster",
        "cluster": {"host": "desk"},
        "steps": [
            {"id": "preflight", "file": "completed", "cluster": "completed", "live": True},
            {"id": "pods_ready", "file": None, "cluster": "in_progress", "live": None},
        ],
    }
    lines = render_status(status_document(state(), live=False) | {"records": records}, Style(100)).splitlines()
    at = lines.index("Another machine has the lease: laptop, since 2026-01-01T12:00:05Z")
    assert lines[at + 1 : at + 6] == [
        "The cluster's records: it cannot be read",
        "Records differ  the cluster's are newer, and count; the cluster's are of desk",
        "    step        this machine  cluster      live",
        "    preflight   completed     completed    as it should be",
        "    pods_ready  nothing       in progress  not known",
    ]
