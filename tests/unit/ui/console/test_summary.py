"""The last lines of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.provider import Absent, Endpoint, Overview
from contextcore_install.ui.console.summary import (
    Ended,
    render_error,
    render_failure,
    render_interrupted,
    render_success,
)
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.style import Style
from unit.ui.samples import dangerous, hostile_text, too_wide

COMMANDS = Commands()
ENDED = Ended("o11y-dev", "host", 42.0)
OVERVIEW = Overview(
    endpoints=(
        Endpoint("grafana", "http://127.0.0.1:3000", "/api/health"),
        Endpoint("mimir", "http://127.0.0.1:9009", "/ready"),
    ),
    programs={"mimir": "victoria-metrics 1.79.5"},
    absent=(Absent("loki", "no loki on PATH", "brew install loki"),),
    hints=("Grafana's login: admin, and the password in a file",),
    dashboard="http://127.0.0.1:3000/d/contextcore-installation?var-cluster=o11y-dev",
)


def test_success_says_what_runs_where_what_is_missing_and_what_to_type() -> None:
    assert render_success(ENDED, OVERVIEW, Style(80), COMMANDS).splitlines() == [
        "✓ o11y-dev on host is up and running (42 s).",
        "",
        "How to look",
        f"  Grafana: {OVERVIEW.dashboard}",
        "  Grafana's login: admin, and the password in a file",
        "",
        "  grafana  http://127.0.0.1:3000",
        "  mimir    http://127.0.0.1:9009  victoria-metrics 1.79.5",
        "",
        "Not installed: loki; to have it: brew install loki",
        "",
        "Next  ./create-cluster.sh --status          where it stands",
        "      ./create-cluster.sh dashboard --open  shows it on a page",
        "      ./create-cluster.sh verify            checks everything",
        "      ./create-cluster.sh --repair          fixes what broke",
    ]


def test_a_run_that_had_nothing_to_do_is_three_lines() -> None:
    ended = Ended("o11y-dev", "host", 0.4, nothing_to_do=True)
    assert render_success(ended, OVERVIEW, Style(80), COMMANDS).splitlines() == [
        "✓ o11y-dev on host is up to date: nothing had to be done (0.4 s).",
        "  grafana http://127.0.0.1:3000 · mimir :9009",
        "Next  ./create-cluster.sh --status --live  how it is now",
    ]


def test_failure_says_which_step_why_what_to_do_and_how_to_carry_on() -> None:
    error = InstallError("crash", "mimir keeps crashing", "exit 1\n\n  bad config: line 3", "kubectl logs mimir-0")
    logs = {"pods_ready": "/home/u/.contextcore/clusters/o11y-dev/logs/run-1/pods_ready.log"}
    assert render_failure(ENDED, {"pods_ready": error}, Style(80), COMMANDS, logs).splitlines() == [
        "✗ pods_ready failed after 42 s: mimir keeps crashing",
        "  Seen  exit 1",
        "        bad config: line 3",
        "  Do    kubectl logs mimir-0",
        f"  Log   {logs['pods_ready']}",
        "",
        "Next  ./create-cluster.sh --resume  carries on from there",
        "      ./create-cluster.sh --status  where it stands",
        "      ./create-cluster.sh diagnose  looks closer, for a bug report",
    ]


def test_failure_names_the_bundle_before_what_to_type() -> None:
    shown = render_failure(
        ENDED, {"x": InstallError("x", "y")}, Style(80), COMMANDS, bundle="/home/u/o11y-dev-diagnosis.tar.gz"
    ).splitlines()
    place = shown.index("  /home/u/o11y-dev-diagnosis.tar.gz")
    assert shown[place - 1] == "For a bug report, redacted: look at it before you send it"
    assert shown[place + 2].startswith("Next")


def test_interruption_says_what_is_done_and_how_to_carry_on() -> None:
    shown = render_interrupted(ENDED, ["preflight", "cluster_create"], 6, Style(100), COMMANDS, "Ctrl-C")
    assert shown.splitlines() == [
        "◼ o11y-dev on host was interrupted (Ctrl-C) after 42 s; what is done is kept.",
        "  Done: 2 of 6 steps (preflight, cluster_create)",
        "",
        "Next  ./create-cluster.sh --resume  carries on from there",
    ]


def test_an_error_before_a_run_is_one_sentence_and_what_to_do() -> None:
    error = InstallError("home", "HOME belongs to another user", hint="run it without sudo", exit_code=ExitCode.USAGE)
    assert render_error(error, Style(80)) == "✗ HOME belongs to another user\n  Do    run it without sudo"


def test_only_a_bug_shows_its_traceback_and_keeps_its_indentation() -> None:
    trace = "Traceback (most recent call last):\n  File x\n    code\n" * 5
    shown = render_error(InstallError("bug", "that should not happen", trace), Style(80))
    assert shown.count("Traceback") == 5
    assert "      code" in shown
    assert len(render_error(InstallError("other", "no", trace), Style(80)).splitlines()) < 12


@pytest.mark.parametrize("width", [40, 80])
def test_a_command_is_never_cut_so_that_it_can_be_copied(width: int) -> None:
    hint = "kubectl --context kind-o11y-dev -n observability describe pod mimir-0 --show-events=true | tail"
    assert hint in render_error(InstallError("x", "y", hint=hint), Style(width))
    assert "./create-cluster.sh --resume --cluster a-cluster-with-quite-a-long-name" in render_failure(
        ENDED, {"x": InstallError("x", "y")}, Style(width), Commands(cluster="a-cluster-with-quite-a-long-name")
    )


def test_carrying_on_where_a_tool_is_missing_gets_the_tool() -> None:
    missing = InstallError("tool-missing", "no kind", hint="./create-cluster.sh --install-tools")
    shown = render_failure(ENDED, {"preflight": missing}, Style(80), Commands())
    assert "./create-cluster.sh --resume --install-tools" in shown


@given(hostile_text, hostile_text, hostile_text, hostile_text, st.integers(20, 120), st.booleans())
def test_no_error_and_no_overview_is_too_strange_to_be_shown(
    message: str, evidence: str, hint: str, name: str, width: int, unicode: bool
) -> None:
    style = Style(width, unicode=unicode)
    error = InstallError("x", message, evidence, hint)
    absent = (Absent(name, message, hint),)
    overview = Overview((Endpoint(name, hint, ""),), {name: message}, absent, (hint,), dashboard=name)
    for shown in (
        render_failure(ENDED, {name: error}, style, COMMANDS, {name: evidence}),
        render_success(ENDED, overview, style, COMMANDS),
        render_interrupted(ENDED, [name], 6, style, COMMANDS, message),
        render_error(InstallError("bug", message, evidence, hint), style),
    ):
        assert not dangerous(shown)
        assert unicode is True or shown.isascii()


@given(hostile_text, hostile_text, st.integers(20, 120))
def test_sentences_fit_the_screen(message: str, evidence: str, width: int) -> None:
    shown = render_error(InstallError("x", message, evidence), Style(width))
    assert not too_wide(shown, width)
