"""Events give one trace a run, however the fold comes to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.telemetry.cursors import BatchReader, Offset
from contextcore_install.telemetry.exporters.client import StoreAnswer
from contextcore_install.telemetry.exporters.otlp import encode, partial_success
from contextcore_install.telemetry.failures import StoreError
from contextcore_install.telemetry.folds.fold import span_id, trace_id
from contextcore_install.telemetry.folds.traces import UNFINISHED, Span, TraceFold
from kit.stores import MemoryJournal

START_US = 1_700_000_000_000_000
SECOND = 1_000_000


def fold_of(events: list[Event]) -> TraceFold:
    fold = TraceFold("c")
    for event in events:
        fold.take(event)
    return fold


def spans_of(events: list[Event]) -> list[Span]:
    fold = TraceFold("c")
    return [span for event in events for span in fold.take(event)]


def named(events: list[Event]) -> dict[str, Span]:
    return {span.name: span for span in spans_of(events)}


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal(START_US)


def begin(journal: MemoryJournal, run_id: str = "r1", **more: Any) -> int:
    event = journal.add(run_id, Kind.RUN_STARTED, mode="install", version="1.2.3", provider="host", **more)
    return event.number


def test_a_run_is_one_trace_of_all_that_took_time(journal: MemoryJournal) -> None:
    root = begin(journal)
    done = journal.add("r1", Kind.STEP_COMPLETED, "preflight", after_us=2 * SECOND, duration_seconds=2.0, already=True)
    started = journal.add("r1", Kind.STEP_STARTED, "cluster_create", attempt=1, after_us=SECOND)
    part = journal.add("r1", Kind.PART_STARTED, "cluster_create", part="images")
    command = journal.add(
        "r1",
        Kind.COMMAND_FINISHED,
        "cluster_create",
        after_us=3 * SECOND,
        part="images",
        command="/usr/bin/docker pull x",
        exit_code=0,
        duration_seconds=2.5,
    )
    journal.add("r1", Kind.PART_FINISHED, "cluster_create", part="images", outcome="completed", duration_seconds=3.0)
    journal.add("r1", Kind.COMMAND_FINISHED, "cluster_create", command="true", exit_code=0, duration_seconds=0.001)
    ended = journal.add("r1", Kind.STEP_COMPLETED, "cluster_create", duration_seconds=4.0)
    last = journal.add("r1", Kind.RUN_FINISHED, outcome="succeeded", exit_code=0, duration_seconds=6.0)
    spans = named(journal.events)
    tree = {span.name: (span.number, span.parent) for span in spans.values()}
    assert tree == {
        "contextcore-install install": (root, 0),
        "check preflight": (done.number, root),
        "check cluster_create": (ended.number, root),
        "apply cluster_create": (started.number, root),
        "images": (part.number, started.number),
        "docker": (command.number, part.number),
        "true": (ended.number - 1, started.number),
    }
    docker = spans["docker"]
    assert (docker.start_us, docker.end_us) == (part.at_us + SECOND // 2, command.at_us)
    assert docker.attributes == {
        "contextcore.step": "cluster_create",
        "contextcore.part": "images",
        "contextcore.command": "/usr/bin/docker pull x",
        "contextcore.exit_code": 0,
    }
    assert spans["check cluster_create"].end_us == started.at_us
    whole = spans["contextcore-install install"]
    assert (whole.start_us, whole.end_us) == (journal.events[0].at_us, last.at_us)
    assert whole.attributes["contextcore.outcome"] == "succeeded"
    assert not any(span.error for span in spans.values())
    assert (whole.run.cluster, whole.run.provider, whole.run.version) == ("c", "host", "1.2.3")


def test_a_failure_is_told_by_its_message_and_code(journal: MemoryJournal) -> None:
    begin(journal)
    error = {"code": "crash-loop", "message": "mimir keeps crashing", "hint": ""}
    journal.add("r1", Kind.STEP_STARTED, "pods_ready", attempt=1)
    journal.add("r1", Kind.STEP_RETRYING, "pods_ready", error={**error, "message": "at first"}, delay_seconds=1.0)
    journal.add("r1", Kind.STEP_STARTED, "pods_ready", attempt=2)
    journal.add("r1", Kind.PART_STARTED, "pods_ready", part="left open")
    journal.add("r1", Kind.COMMAND_FINISHED, "pods_ready", command="kubectl x", exit_code=1, duration_seconds=0.0)
    journal.add("r1", Kind.STEP_FAILED, "pods_ready", error=error, duration_seconds=3.0)
    journal.add("r1", Kind.RUN_FINISHED, outcome="failed", exit_code=1)
    spans = spans_of(journal.events)
    attempts = [span for span in spans if span.name == "apply pods_ready"]
    assert [span.error for span in attempts] == ["at first", "mimir keeps crashing"]
    assert [span.attributes["contextcore.attempt"] for span in attempts] == [1, 2]
    by_name = {span.name: span for span in spans}
    assert by_name["kubectl"].error == "exit code 1"
    assert by_name["left open"].error == "mimir keeps crashing"
    assert by_name["check pods_ready"].error == "", "what failed is the attempt"
    root = by_name["contextcore-install install"]
    assert (root.error, root.attributes["error.type"]) == ("mimir keeps crashing", "crash-loop")


def test_a_step_that_is_taken_back_is_a_span(journal: MemoryJournal) -> None:
    begin(journal)
    journal.add("r1", Kind.STEP_UNDO_STARTED, "pods_ready", attempt=1)
    journal.add("r1", Kind.STEP_UNDONE, "pods_ready", duration_seconds=0.001)
    journal.add("r1", Kind.STEP_UNDO_STARTED, "preflight", attempt=1)
    journal.add("r1", Kind.STEP_FAILED, "preflight", error={"message": "busy"}, duration_seconds=0.001)
    assert [(span.name, span.error) for span in spans_of(journal.events)] == [
        ("undo pods_ready", ""),
        ("undo preflight", "busy"),
    ]


def test_a_check_that_fails_is_a_span_that_failed(journal: MemoryJournal) -> None:
    begin(journal)
    error = {"code": "no-docker", "message": "no engine"}
    journal.add("r1", Kind.STEP_FAILED, "preflight", after_us=SECOND, error=error, duration_seconds=0.5)
    [check] = spans_of(journal.events)
    assert (check.name, check.error) == ("check preflight", "no engine")
    assert check.end_us - check.start_us == SECOND // 2


def test_an_interrupted_run_ends_what_it_had_open(journal: MemoryJournal) -> None:
    begin(journal)
    journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
    journal.add("r1", Kind.RUN_FINISHED, outcome="interrupted", exit_code=130, reason="Ctrl-C")
    assert [(span.name, span.error) for span in spans_of(journal.events)] == [
        ("apply preflight", "interrupted: Ctrl-C"),
        ("contextcore-install install", "interrupted: Ctrl-C"),
    ]


def test_a_killed_run_is_ended_by_the_next_which_links_to_it(journal: MemoryJournal) -> None:
    first = begin(journal)
    journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
    last = journal.add("r1", Kind.HEARTBEAT, after_us=15 * SECOND)
    begin(journal, "r2", resumes="r1")
    journal.add("r2", Kind.RUN_FINISHED, outcome="succeeded", exit_code=0, after_us=SECOND)
    step, killed, resumed = spans_of(journal.events)
    assert {step.error, killed.error} == {UNFINISHED}
    assert (killed.number, killed.end_us) == (first, last.at_us)
    assert resumed.link is not None
    assert (resumed.link.run_id, resumed.link.number) == ("r1", first)
    [message] = encode([resumed])["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert message["traceId"] == trace_id("r2")
    assert message["links"] == [{"traceId": trace_id("r1"), "spanId": span_id("r1", first)}]


def test_a_journal_that_begins_in_the_middle_gives_whole_spans_only(journal: MemoryJournal) -> None:
    journal.add("r0", Kind.STEP_COMPLETED, "preflight", duration_seconds=1.0)
    journal.add("r0", Kind.RUN_FINISHED, outcome="succeeded")
    assert spans_of(journal.events) == []


def test_a_clock_that_was_set_back_gives_no_span_before_its_parent(journal: MemoryJournal) -> None:
    begin(journal)
    journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
    journal.add("r1", Kind.COMMAND_FINISHED, "preflight", command="x", exit_code=0, duration_seconds=3600.0)
    journal.add("r1", Kind.STEP_COMPLETED, "preflight", duration_seconds=3600.0)
    assert all(span.start_us >= journal.events[0].at_us for span in spans_of(journal.events))


STEPS = ("preflight", "cluster_create")
KINDS = [
    (Kind.RUN_STARTED, {"mode": "install"}),
    (Kind.RUN_FINISHED, {"outcome": "failed", "exit_code": 1}),
    (Kind.STEP_STARTED, {"attempt": 1}),
    (Kind.STEP_UNDO_STARTED, {"attempt": 1}),
    (Kind.STEP_UNDONE, {}),
    (Kind.STEP_RETRYING, {"error": {"code": "a", "message": "b"}}),
    (Kind.STEP_COMPLETED, {"duration_seconds": 0.002}),
    (Kind.STEP_FAILED, {"error": {}, "duration_seconds": 0.002}),
    (Kind.PART_STARTED, {"part": "p"}),
    (Kind.PART_FINISHED, {"part": "p", "outcome": "failed"}),
    (Kind.COMMAND_FINISHED, {"part": "p", "command": "x", "exit_code": 1, "duration_seconds": 0.003}),
    (Kind.HEARTBEAT, {}),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(STEPS), st.booleans()), max_size=40))
def test_any_events_give_the_same_whole_tree_from_any_snapshot(
    told: list[tuple[tuple[Kind, dict[str, Any]], str, bool]],
) -> None:
    journal, run = MemoryJournal(START_US), 0
    for (kind, data), step, _ in told:
        run += kind is Kind.RUN_STARTED
        journal.add(f"r{run}", kind, step if kind.value.startswith(("step", "part", "command")) else "", **data)
    journal.add("end", Kind.RUN_STARTED)
    once = spans_of(journal.events)
    fold, resumed = TraceFold("c"), []
    for event, (*_, stop) in zip(journal.events, [*told, (None, "", False)], strict=True):
        resumed += fold.take(event)
        if stop:
            restored = TraceFold.restore("c", json.loads(json.dumps(fold.snapshot())))
            assert restored is not None
            fold = restored
    assert resumed == once
    keys = [(span.run.run_id, span.number) for span in once]
    assert len(set(keys)) == len(keys), "no two spans have one id"
    by_key = dict(zip(keys, once, strict=True))
    for span in once:
        assert span.start_us <= span.end_us
        if span.parent:
            assert by_key[span.run.run_id, span.parent].start_us <= span.start_us


@pytest.mark.parametrize("spoilt", [{"version": 0}, {"run": 3}, {"run": {"x": 1}}, {"open": [3]}, {"failure": []}])
def test_a_spoilt_snapshot_is_not_continued_from(spoilt: dict[str, object]) -> None:
    assert TraceFold.restore("c", TraceFold("c").snapshot()) is not None
    assert TraceFold.restore("c", TraceFold("c").snapshot() | spoilt) is None


@pytest.mark.parametrize("attributes", [None, 3, "x"])
def test_an_open_span_with_spoilt_attributes_is_not_continued_from(journal: MemoryJournal, attributes: object) -> None:
    begin(journal)
    snapshot = fold_of(journal.events).snapshot()
    snapshot["open"][0]["attributes"] = attributes
    assert TraceFold.restore("c", snapshot) is None


def test_what_is_folded_from_a_snapshot_does_not_change_it(journal: MemoryJournal) -> None:
    begin(journal)
    journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
    snapshot = fold_of(journal.events).snapshot()
    before = json.dumps(snapshot)
    restored = TraceFold.restore("c", snapshot)
    assert restored is not None
    restored.take(journal.add("r1", Kind.STEP_FAILED, "preflight", error={"code": "a", "message": "b"}))
    restored.take(journal.add("r1", Kind.RUN_FINISHED, outcome="failed", exit_code=1))
    assert json.dumps(snapshot) == before


def test_an_earlier_versions_snapshot_costs_no_span_and_repeats_none(journal: MemoryJournal) -> None:
    begin(journal)
    journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
    journal.add("r1", Kind.COMMAND_FINISHED, "preflight", command="x")
    sent = journal.events[-1]
    earlier: dict[str, Any] = {
        "version": 1,
        "run": None,
        "last_us": 0,
        "open": [],
        "begun": {},
        "failure": ["", ""],
        "link": None,
    }
    journal.add("r1", Kind.STEP_COMPLETED, "preflight")
    journal.add("r1", Kind.RUN_FINISHED, outcome="succeeded")
    offset = Offset(sent.number, sent.at_us, len(journal.events) - 3, earlier)
    items, more = BatchReader(journal, "c", TraceFold, offset).batch(500, lambda _: 1)
    assert not more
    assert [span.name for span in items] == ["apply preflight", "check preflight", "contextcore-install install"]
    assert items == spans_of(journal.events)[1:]


def test_ids_depend_on_the_run_and_the_event_alone() -> None:
    assert trace_id("run-1") == "4e65d3fbe8ad6535681b021b30785b12"
    assert span_id("run-1", 2) == "6c7ce67a23e8379c"


def test_an_answer_tells_what_was_rejected() -> None:
    assert partial_success(StoreAnswer(200, b""), "x") == (0, "")
    in_json = b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"full"}}'
    assert partial_success(StoreAnswer(200, in_json), "x") == (3, "full")
    assert partial_success(StoreAnswer(200, b"{}"), "x") == (0, "")


@pytest.mark.parametrize("body", [b"<html>", b"OK", b'{"partialSuccess":3}', b"{"])
def test_what_says_yes_to_everything_takes_no_spans(body: bytes) -> None:
    with pytest.raises(StoreError, match="no OTLP answer"):
        partial_success(StoreAnswer(200, body), "x")


def test_secrets_are_hidden_from_spans_of_journals_that_have_them(journal: MemoryJournal) -> None:
    begin(journal)
    secret = "s3cr3t-m4rk3r"
    journal.add(
        "r1", Kind.COMMAND_FINISHED, "preflight", command=f"x --password={secret}", exit_code=0, duration_seconds=0
    )
    error = {"code": "x", "message": f"token={secret} was refused"}
    journal.add("r1", Kind.STEP_FAILED, "preflight", error=error, duration_seconds=0)
    assert secret not in json.dumps(encode(spans_of(journal.events)))
