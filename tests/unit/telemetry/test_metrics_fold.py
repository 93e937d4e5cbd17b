"""Events give the same samples however the fold comes to them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.telemetry.folds.fold import trace_id
from contextcore_install.telemetry.folds.metrics import PREFIX, MetricsFold, Sample, is_measured
from kit.stores import MINUTE_US, MemoryJournal

START_US = 1_700_000_000_000_000


def fold_all(events: list[Event], cluster: str = "c") -> list[Sample]:
    fold = MetricsFold(cluster)
    return [sample for event in events for sample in fold.take(event)]


def values(samples: list[Sample], name: str, **labels: str) -> list[float]:
    wanted = {"cluster": "c", **labels}.items()
    return [s.value for s in samples if s.name == PREFIX + name and wanted <= dict(s.labels).items()]


STATE_DOCUMENT: dict[str, Any] = {
    "version": "1.0",
    "cluster_name": "c",
    "started_at": "2024-01-22T15:30:00Z",
    "updated_at": "2024-01-22T15:35:00Z",
    "steps": {"preflight": {"status": "completed"}, "pods_ready": {"status": "in_progress", "attempts": 1}},
}
REQUIREMENTS = [
    {"requirement": "grafana_ready", "category": "infrastructure", "ratio": 1.0, "critical": True},
    {"requirement": "loki_ready", "category": "infrastructure", "ratio": 0.0},
    {"requirement": "mimir_present", "category": "observability", "ratio": 1},
]
DATA: dict[Kind, dict[str, Any]] = {
    Kind.INSTALLATION_STARTED: {"installation_id": "i", "provider": "host"},
    Kind.STATE_IMPORTED: {"document": STATE_DOCUMENT},
    Kind.SETTINGS_CHANGED: {"settings": {}},
    Kind.RUN_STARTED: {"mode": "run", "version": "1.0"},
    Kind.RUN_FINISHED: {"outcome": "interrupted"},
    Kind.STEP_COMPLETED: {"duration_seconds": 1.5},
    Kind.STEP_FAILED: {"duration_seconds": 2.5, "error": {"code": "x"}},
    Kind.VERIFIED: {"requirements": REQUIREMENTS},
    Kind.WATCH_REMEDIED: {"outcome": "succeeded"},
}


@st.composite
def journals(draw: st.DrawFn) -> list[Event]:
    at_us = START_US
    run = 0
    events = []
    for number in range(1, draw(st.integers(1, 40)) + 1):
        kind = draw(st.sampled_from([*Kind]))
        run += kind is Kind.RUN_STARTED
        at_us += draw(st.one_of(st.integers(1, 3), st.integers(1, 2_000), st.integers(1, MINUTE_US)))
        step = draw(st.sampled_from(STEP_IDS)) if kind.startswith("step_") else ""
        events.append(Event(number, at_us, f"r{run}", kind, step, DATA.get(kind, {})))
    return events


@given(journals())
def test_times_of_a_series_grow_strictly(events: list[Event]) -> None:
    times: dict[object, list[int]] = {}
    for sample in fold_all(events):
        times.setdefault(sample.series, []).append(sample.at_ms)
    assert all(earlier < later for series in times.values() for earlier, later in pairwise(series))


@given(journals())
def test_a_sample_is_never_later_than_its_event_by_more_than_those_before_it_in_the_millisecond(
    events: list[Event],
) -> None:
    fold = MetricsFold("c")
    seen: dict[object, int] = {}
    for event in events:
        for sample in fold.take(event):
            late = sample.at_ms - event.at_us // 1000
            assert 0 <= late <= seen.get(sample.series, 0)
            seen[sample.series] = seen.get(sample.series, 0) + 1


@given(journals(), st.data())
def test_folding_in_two_parts_is_folding_at_once(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    first = MetricsFold("c")
    samples = [sample for event in events[:cut] for sample in first.take(event)]
    second = MetricsFold.restore("c", json.loads(json.dumps(first.snapshot())))
    assert second is not None
    samples += [sample for event in events[cut:] for sample in second.take(event)]
    assert samples == fold_all(events)


@given(journals(), st.data())
def test_what_is_folded_later_is_not_in_a_snapshot(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    fold = MetricsFold("c")
    for event in events[:cut]:
        fold.take(event)
    snapshot = fold.snapshot()
    taken = json.dumps(snapshot)
    for event in events[cut:]:
        fold.take(event)
    assert json.dumps(snapshot) == taken


@given(journals())
def test_taking_a_snapshot_changes_nothing(events: list[Event]) -> None:
    fold = MetricsFold("c")
    samples = []
    for event in events:
        samples += fold.take(event)
        fold.snapshot()
    assert samples == fold_all(events)


@given(journals())
def test_every_sample_names_the_cluster_and_sorts_its_labels(events: list[Event]) -> None:
    for sample in fold_all(events):
        names = [name for name, _ in sample.labels]
        assert "cluster" in names
        assert names == sorted(names)
        assert all(value for _, value in sample.labels)


def test_a_run_begins_with_all_six_steps() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    samples = fold_all(journal.events)
    assert [values(samples, "step_status", step=step) for step in STEP_IDS] == [[0.0]] * 6
    assert values(samples, "step_attempts_total", step="preflight") == [0.0]
    assert values(samples, "progress_ratio") == [0.0]


def test_a_resumed_run_begins_with_the_status_of_that_time() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    journal.add("r1", Kind.STEP_STARTED, "preflight")
    journal.add("r1", Kind.STEP_COMPLETED, "preflight", duration_seconds=1.0)
    journal.add("r1", Kind.STEP_STARTED, "cluster_create")
    journal.end("r1")
    before = len(fold_all(journal.events))
    journal.begin("r2")
    samples = fold_all(journal.events)[before:]
    assert [values(samples, "step_status", step=step) for step in STEP_IDS] == [[2.0], [1.0], *[[0.0]] * 4]


def test_an_imported_state_is_shown() -> None:
    journal = MemoryJournal(START_US)
    journal.add("r1", Kind.STATE_IMPORTED, document=STATE_DOCUMENT)
    samples = fold_all(journal.events)
    assert values(samples, "step_status", step="preflight") == [2.0]
    assert values(samples, "step_status", step="pods_ready") == [1.0]
    assert values(samples, "step_status", step="metrics_seed") == [0.0]


def test_every_change_within_a_millisecond_is_kept() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    for kind in (Kind.STEP_STARTED, Kind.STEP_FAILED, Kind.STEP_STARTED):
        journal.add("r1", kind, "preflight", after_us=1, error={})
    journal.add("r1", Kind.STEP_COMPLETED, "preflight", after_us=1, duration_seconds=0.0)
    assert values(fold_all(journal.events), "step_status", step="preflight") == [0.0, 1.0, 3.0, 1.0, 2.0]
    assert values(fold_all(journal.events), "step_attempts_total", step="preflight") == [0.0, 1.0, 2.0]


def test_a_step_that_an_interruption_stopped_stays_in_progress() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    journal.add("r1", Kind.STEP_STARTED, "preflight")
    journal.add("r1", Kind.RUN_FINISHED, outcome="interrupted")
    samples = fold_all(journal.events)
    assert values(samples, "step_status", step="preflight") == [0.0, 1.0]
    assert values(samples, "finished_timestamp") == [journal.at_us // 1000 / 1000]


def test_a_step_found_done_keeps_its_duration() -> None:
    journal = MemoryJournal(START_US)
    journal.whole_run("r1")
    journal.begin("r2")
    journal.add("r2", Kind.STEP_COMPLETED, "preflight", already=True, duration_seconds=0.01)
    assert values(fold_all(journal.events), "step_duration_seconds", step="preflight") == [0.5]


def test_what_verify_measures_becomes_percentages() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    journal.add("r1", Kind.VERIFIED, "metrics_seed", requirements=REQUIREMENTS)
    samples = fold_all(journal.events)
    assert values(samples, "completeness_percent") == [66.666667]
    assert values(samples, "category_completeness_percent", category="infrastructure") == [50.0]
    assert values(samples, "requirement_status_ratio", requirement="loki_ready") == [0.0]
    assert values(samples, "requirement_measured_timestamp", requirement="loki_ready") == [journal.at_us // 1000 / 1000]
    labels = {
        dict(s.labels)["requirement"]: dict(s.labels).get("critical")
        for s in samples
        if "ratio" in s.name and "requirement" in s.name
    }
    assert labels == {"grafana_ready": "true", "loki_ready": None, "mimir_present": None}


def test_a_verification_succeeds_when_all_that_is_critical_is_met() -> None:
    journal = MemoryJournal(START_US)
    journal.add("r1", Kind.VERIFIED, requirements=REQUIREMENTS)
    first = journal.at_us // 1000 / 1000
    broken = [{**REQUIREMENTS[0], "ratio": 0.5}, *REQUIREMENTS[1:]]
    journal.add("r1", Kind.VERIFIED, after_us=MINUTE_US, requirements=broken)
    samples = fold_all(journal.events)
    assert values(samples, "verified_timestamp") == [first]
    assert values(samples, "verification_timestamp") == [first, first + 60]


def test_a_step_says_when_each_of_its_attempts_began() -> None:
    journal = MemoryJournal(START_US)
    journal.begin("r1")
    began = [journal.add("r1", Kind.STEP_STARTED, "preflight", after_us=MINUTE_US).at_us for _ in range(2)]
    assert values(fold_all(journal.events), "step_started_timestamp", step="preflight") == [
        at_us // 1000 / 1000 for at_us in began
    ]


@pytest.mark.parametrize(
    "requirements",
    [None, [], "x", [1, None], [{"requirement": "a"}], [{"requirement": "a", "category": "b", "ratio": float("nan")}]],
)
def test_measurements_that_say_nothing_give_nothing(requirements: object) -> None:
    journal = MemoryJournal(START_US)
    journal.add("r1", Kind.VERIFIED, requirements=requirements)
    assert fold_all(journal.events) == []


def test_a_run_says_once_what_it_is() -> None:
    journal = MemoryJournal(START_US)
    journal.whole_run("r1")
    journal.whole_run("r2")
    infos = [dict(s.labels) for s in fold_all(journal.events) if s.name == PREFIX + "info"]
    common = {"cluster": "c", "provider": "host", "version": "1.2.3"}
    assert infos == [{"run_id": run, "trace_id": trace_id(run), **common} for run in ("r1", "r2")]


def test_a_run_without_a_provider_says_at_its_end_what_it_is() -> None:
    journal = MemoryJournal(START_US)
    journal.add("r1", Kind.RUN_STARTED)
    journal.end("r1")
    infos = [s.labels for s in fold_all(journal.events) if s.name == PREFIX + "info"]
    assert infos == [(("cluster", "c"), ("run_id", "r1"), ("trace_id", trace_id("r1")))]


@pytest.mark.parametrize(
    "snapshot", [{}, {"version": 1}, {"version": 2}, {"version": 2, "state": [], "at_ms": 1, "ahead": [], "run": []}]
)
def test_a_snapshot_that_is_none_is_refused(snapshot: dict[str, Any]) -> None:
    assert MetricsFold.restore("c", snapshot) is None


APPLIED_AFTER_VERIFIED: dict[str, Any] = STATE_DOCUMENT | {
    "verified_at": "2024-01-22T15:31:00Z",
    "steps": {"pods_ready": {"status": "in_progress", "attempts": 1, "started_at": "2024-01-22T15:32:00Z"}},
}


def test_an_imported_state_in_which_a_step_was_applied_after_the_verification_is_not_measured() -> None:
    fold = MetricsFold("c")
    fold.take(Event(1, START_US, "run", Kind.STATE_IMPORTED, "", {"document": APPLIED_AFTER_VERIFIED}))
    assert not is_measured(fold.snapshot())


def test_a_fold_restored_from_an_older_snapshot_goes_by_its_times() -> None:
    older = MetricsFold("c").snapshot() | {"state": APPLIED_AFTER_VERIFIED}
    del older["applied_since"]
    fold = MetricsFold.restore("c", older)
    assert fold is not None
    fold.take(Event(1, START_US, "run", Kind.RUN_STARTED, "", {}))
    assert not is_measured(older)
    assert not is_measured(fold.snapshot())
