"""The page's document: what it says of runs, and that nothing in it is endless or does harm."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.engine.state import State
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.page.document import (
    PageFacts,
    history,
    in_html,
    log_lines,
    policy,
    render,
    run_section,
    sections,
)
from contextcore_install.ui.page.timeline import MOST_BARS, MOST_FINDINGS, MOST_ROWS, RunTimeline
from unit.ui.samples import ENDLESS, HOSTILE, NOON_US, TITLES, dangerous, events, hostile_text, json_values

MOST_BYTES = 600_000


class ToldRun:
    """A run's events, a second apart."""

    def __init__(self, mode: str = "install") -> None:
        self.events: list[Event] = []
        self.add(Kind.RUN_STARTED, mode=mode, version="1")

    def add(self, kind: Kind, step: str = "", **data: Any) -> None:
        number = len(self.events) + 1
        self.events.append(Event(number, NOON_US + number * 1_000_000, "run-1", kind, step, data))

    def story(self) -> RunTimeline:
        story = RunTimeline()
        for event in self.events:
            story.take(event)
        return story

    def rows(self, *, live: bool = False) -> dict[tuple[str, str], list[tuple[int, int | None, str]]]:
        """Return the bars of each row, in seconds since the run began."""
        began = self.events[0].at_us

        def since(at_us: int | None) -> int | None:
            return None if at_us is None else (at_us - began) // 1_000_000

        document = self.story().as_document(live=live)
        return {
            (row["step"], row["part"]): [(since(a) or 0, since(b), told) for a, b, told in row["bars"]]
            for row in document["rows"]
        }


def facts(story: RunTimeline, told: list[Event], **more: Any) -> PageFacts:
    state = State("o11y-dev").apply_all(told)
    rows = JournalSummary("o11y-dev")
    for event in told:
        rows.take(0, event)
    return PageFacts(state, story, Commands(), TITLES, "1", rows=rows.runs, **more)


def test_attempts_of_a_step_are_bars_of_their_own_with_the_pause_between() -> None:
    told = ToldRun()
    told.add(Kind.STEP_STARTED, "pods_ready", attempt=1)
    told.add(Kind.STEP_RETRYING, "pods_ready", delay_seconds=1.0, error={"code": "x", "message": "not yet"})
    told.add(Kind.STEP_STARTED, "pods_ready", attempt=2)
    told.add(Kind.STEP_COMPLETED, "pods_ready", duration_seconds=3.0)

    assert told.rows() == {("pods_ready", ""): [(1, 2, "failed"), (3, 4, "completed")]}


def test_a_step_that_was_done_already_lasted_as_long_as_its_check() -> None:
    told = ToldRun()
    told.add(Kind.NOTICE, text="a while later")
    told.add(Kind.STEP_COMPLETED, "preflight", duration_seconds=1.0, already=True)

    assert told.rows() == {("preflight", ""): [(1, 2, "already")]}


def test_what_lasts_in_a_run_that_lives_has_no_end_and_in_one_that_does_not_was_cut_off() -> None:
    told = ToldRun()
    told.add(Kind.STEP_STARTED, "cluster_create", attempt=1)
    told.add(Kind.PART_STARTED, "cluster_create", part="pull the images")
    told.add(Kind.HEARTBEAT)

    assert told.rows(live=True)["cluster_create", "pull the images"] == [(2, None, "")]
    assert told.rows()["cluster_create", ""] == [(1, 3, "cut off")]
    assert told.story().as_document(live=False)["outcome"] == "cut off"


def test_a_part_that_outlasts_its_step_went_on_after_it_unless_that_failed() -> None:
    told = ToldRun()
    for kind, outcome in ((Kind.STEP_FAILED, "cut off"), (Kind.STEP_COMPLETED, "continued")):
        told.add(Kind.STEP_STARTED, "cluster_create", attempt=1)
        told.add(Kind.PART_STARTED, "cluster_create", part="images")
        told.add(kind, "cluster_create", duration_seconds=1.0, error={"code": "x", "message": "no"})
        assert told.rows(live=True)["cluster_create", "images"][-1][2] == outcome


def test_a_finding_is_quiet_once_its_step_is_done_and_a_warning_is_not() -> None:
    told = ToldRun()
    told.add(Kind.FINDING, "preflight", code="gone", message="It is gone.")
    told.add(Kind.FINDING, "preflight", code="low", message="It is low.", warning=True)
    told.add(Kind.STEP_COMPLETED, "preflight", duration_seconds=1.0)
    shown = run_section(told.story(), Commands(), live=False)["problems"]

    assert [(it["message"], it["quiet"]) for it in shown] == [("It is gone.", True), ("It is low.", False)]


def test_an_error_comes_with_what_to_type_and_takes_the_place_of_the_finding_it_was_made_from() -> None:
    told = ToldRun()
    told.add(Kind.STEP_STARTED, "preflight", attempt=1)
    told.add(Kind.FINDING, "preflight", code="port", message="The port is taken.")
    error = {"code": "port", "message": "The port is taken.", "hint": "./create-cluster.sh --port mimir=1"}
    told.add(Kind.STEP_FAILED, "preflight", duration_seconds=1.0, error=error)
    commands = Commands("contextcore-install", "demo")
    (shown,) = run_section(told.story(), commands, live=False)["problems"]

    assert shown["command"] == "contextcore-install --port mimir=1 --cluster demo"
    assert not shown["remedy"]


@pytest.mark.parametrize(
    ("last", "live", "tone", "headline"),
    [
        (None, True, "busy", "Installing: Create the cluster"),
        (None, False, "warn", "Ended unexpectedly"),
        ("interrupted", False, "warn", "Interrupted"),
    ],
)
def test_the_headline_says_how_the_run_stands(last: str | None, live: bool, tone: str, headline: str) -> None:
    told = ToldRun()
    told.add(Kind.INSTALLATION_STARTED, installation_id="i", provider="host")
    told.add(Kind.STEP_STARTED, "cluster_create", attempt=1)
    if last:
        told.add(Kind.RUN_FINISHED, outcome=last)
    head = sections(facts(told.story(), told.events, live=live))["head"]

    assert (head["tone"], head["headline"]) == (tone, headline)


def test_what_does_not_answer_is_the_headline_of_a_complete_installation() -> None:
    told = ToldRun()
    told.add(Kind.INSTALLATION_STARTED, installation_id="i", provider="host")
    for step in TITLES:
        told.add(Kind.STEP_COMPLETED, step, duration_seconds=1.0)
    told.add(Kind.RUN_FINISHED, outcome="succeeded")
    endpoints = [
        {"component": "mimir", "url": "http://127.0.0.1:9009", "answers": False},
        {"component": "grafana", "url": "http://127.0.0.1:3000", "answers": True},
    ]
    where = {"endpoints": endpoints, "absent": [], "hints": []}
    head = sections(facts(told.story(), told.events, where=where))["head"]

    assert (head["tone"], head["headline"]) == ("bad", "mimir does not answer")
    assert head["next"][0][0].endswith("--repair")
    endpoints[0]["answers"] = True
    head = sections(facts(told.story(), told.events, where=where))["head"]
    assert (head["tone"], head["headline"]) == ("good", "Complete")


def test_before_any_run_it_says_what_to_type() -> None:
    head = sections(facts(RunTimeline(), []))["head"]

    assert head["headline"] == "Nothing is installed yet"
    assert head["next"] == [["./create-cluster.sh", "installs"]]


@settings(max_examples=25)
@given(st.lists(events, max_size=12), hostile_text, json_values)
def test_whatever_events_hold_the_document_is_json_and_harmless(told: list[Event], line: str, value: Any) -> None:
    story, rows = RunTimeline(), JournalSummary("o11y-dev")
    for event in told:
        story.take(event)
        rows.take(0, event)
    where = {"endpoints": [value], "absent": [], "hints": [line]}
    made = PageFacts(
        State(line), story, Commands(), TITLES, "1", rows=rows.runs, logs={"preflight": [line]}, where=where
    )
    document = sections(made, Redaction(home="/home/u", host="machine", user="someone"))

    assert not dangerous("".join(texts(document)))
    json.loads(in_html(document))
    html = render({"now_us": 0, "sections": document}, live=False, footer="")
    assert html.count("</script>") == 2
    assert "<!--" not in html


@pytest.mark.parametrize("text", ENDLESS, ids=len)
def test_what_is_endless_is_cut(text: str) -> None:
    told = ToldRun(mode=text)
    for number in range(300):
        told.add(Kind.PART_STARTED, "preflight", part=f"{number}{text[:300]}")
        told.add(Kind.STEP_STARTED, "pods_ready", attempt=number)
        told.add(Kind.FINDING, "preflight", code=str(number), message=text[:10_000], evidence=text[:10_000])
    told.add(Kind.STEP_FAILED, "preflight", error={"message": text, "evidence": text, "hint": text})
    story = told.story()
    document = sections(facts(story, told.events, logs={"preflight": [text] * 300}), Redaction())

    assert len(json.dumps(document)) < MOST_BYTES
    assert len(story.rows) <= MOST_ROWS
    assert len(story.findings) <= MOST_FINDINGS
    assert len(document["run"]["rows"][-1]["bars"]) <= MOST_BARS


def test_a_private_key_in_a_log_is_hidden_as_a_whole() -> None:
    begin = "-----BEGIN PRIVATE KEY-----"  # pragma: allowlist secret
    lines = ["before", begin, "MIIEvQ", "-----END PRIVATE KEY-----", "after"]

    assert log_lines(lines, Redaction()) == ["before", "<hidden>", "after"]


def test_the_history_comes_latest_first_and_in_parts() -> None:
    rows = [{"run_id": str(number), "outcome": None} for number in range(1, 121)]

    latest = history(rows, len(rows), 50, live=True)["rows"]
    assert [latest[0]["number"], latest[-1]["number"]] == [120, 71]
    assert [latest[0]["outcome"], latest[1]["outcome"]] == ["running", "cut off"]
    older = history(rows, 70, 100, live=True)
    assert (older["total"], [row["number"] for row in older["rows"]]) == (120, list(range(70, 0, -1)))


@pytest.mark.parametrize("text", [*HOSTILE, "</script>", "<!-- <script", "]]>", "&lt;"])
def test_a_document_in_html_ends_no_element(text: str) -> None:
    held = in_html({"text": text})

    assert not re.search("[<>&]", held)
    assert json.loads(held) == {"text": text}


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_and_no_others() -> None:
    html = render({"now_us": 0, "sections": sections(facts(RunTimeline(), []))}, live=True, footer="")
    for inside in (
        *re.findall(r"<script>(.*?)</script>", html, re.DOTALL),
        *re.findall(r"<style>(.*?)</style>", html, re.DOTALL),
    ):
        assert b64encode(sha256(inside.encode()).digest()).decode() in policy()
    assert "unsafe" not in policy()
    assert not re.search(r"https?:", re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))


def texts(value: Any) -> list[str]:
    """Return every text in a document, names of members included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else []
