"""Hostile names and values: refused before anything is touched, shown harmlessly, and given to no shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from fuzz.hostile import NASTY, Shown, assert_harmless, examples, invoke, texts

FLAGS = ("--cluster", "--port", "--timeout", "--workers", "--provider", "--pull", "--output", "--frobnicate")
VARIABLES = ("CONTEXTCORE_CLUSTER", "CLUSTER_NAME")
SURROUNDINGS = (
    "COLUMNS",
    "LINES",
    "TERM",
    "NO_COLOR",
    "CONTEXTCORE_NOTIFY_TIMEOUT",
    "K8S_MANIFESTS",
    "KIND_NODE_IMAGE",
)
GIVEN = [text for text in NASTY if "\0" not in text and "\ud800" not in text]
"""The system gives no program a NUL, nor half a pair."""


def refused(home: Path, words: list[str], environ: dict[str, str] | None = None) -> Shown:
    shown = invoke(home, words, environ)
    assert shown.code == 2, shown
    assert_harmless(shown.out + shown.err, most=5_000)
    assert not home.exists()
    return shown


@pytest.mark.parametrize("flag", FLAGS)
def test_no_nasty_value_is_taken(tmp_path: Path, flag: str) -> None:
    for text in GIVEN:
        refused(tmp_path / "home", [f"{flag}={text}", "--status"])
    assert not Path("pwned").exists()


@pytest.mark.parametrize("component", ["grafana", "nobody", *GIVEN])
def test_no_nasty_port_is_taken(tmp_path: Path, component: str) -> None:
    for number in GIVEN:
        refused(tmp_path / "home", ["--provider", "host", "--port", f"{component}={number}"])


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_nasty_name_of_a_cluster_comes_in_by_the_environment(tmp_path: Path, variable: str) -> None:
    for text in GIVEN:
        shown = refused(tmp_path / "home", ["--status"], {variable: text})
        assert variable in shown.err


@pytest.mark.parametrize("variable", SURROUNDINGS)
def test_a_nasty_environment_changes_nothing(tmp_path: Path, variable: str) -> None:
    for text in GIVEN:
        shown = invoke(tmp_path / "home", ["--status"], {variable: text})
        assert shown.code == 0
        assert_harmless(shown.out + shown.err, most=5_000)


@given(texts.filter(lambda text: "\0" not in text))
@examples
def test_any_words_at_all(text: str) -> None:
    home = Path("/nonexistent/home")
    for words in ([text], ["logs", text], ["state", "get", text], ["history", text]):
        shown = invoke(home, ["--cluster", "c", *words])
        assert_harmless(shown.out + shown.err)
