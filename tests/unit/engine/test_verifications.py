"""What `verify` found stands between runs, and is taken for none: by the state, the metrics, traces and history."""

from __future__ import annotations

from typing import Any

import pytest

from contextcore_install.core.events import Event, Kind, event_from_document
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.engine.state import State
from contextcore_install.engine.status import overall
from contextcore_install.telemetry.folds.metrics import MetricsFold
from contextcore_install.telemetry.folds.traces import TraceFold
from contextcore_install.telemetry.shipper import Shipper
from kit.stores import MemoryCursors, MemoryJournal

MET = {"requirement": "mimir_running", "category": "infrastructure", "ratio": 1.0, "critical": True}
FOUND: dict[str, Any] = {"mode": "verify", "outcome": "failed", "duration_seconds": 1.5, "requirements": [MET]}


def run_of(journal: MemoryJournal, run_id: str, outcome: str) -> None:
    """An installation's run that ends at its first step; without a word where the outcome is empty."""
    journal.add(run_id, Kind.RUN_STARTED, mode="install", version="1", provider="host")
    journal.add(run_id, Kind.STEP_STARTED, "preflight", attempt=1)
    if outcome == "failed":
        journal.add(run_id, Kind.STEP_FAILED, "preflight", error={"code": "x"}, duration_seconds=1.0)
    elif outcome == "succeeded":
        journal.add(run_id, Kind.STEP_COMPLETED, "preflight", duration_seconds=1.0)
    if outcome:
        journal.add(run_id, Kind.RUN_FINISHED, outcome=outcome, exit_code=0, duration_seconds=2.0)


def journal_with(*outcomes: str, verified: bool) -> MemoryJournal:
    """Runs, each followed by a verification, or by none."""
    journal = MemoryJournal(1_700_000_000_000_000)
    journal.add("r0", Kind.INSTALLATION_STARTED, installation_id="i", provider="host", settings={})
    for number, outcome in enumerate(outcomes, 1):
        run_of(journal, f"r{number}", outcome)
        if verified:
            journal.add(f"v{number}", Kind.VERIFIED, **FOUND)
    return journal


def state_of(journal: MemoryJournal) -> State:
    return State("c").apply_all(journal.events)


@pytest.mark.parametrize("outcomes", [("succeeded",), ("failed",), ("interrupted",), ("",), ("", "succeeded")])
def test_the_state_says_of_runs_and_steps_what_it_would_without(outcomes: tuple[str, ...]) -> None:
    plain, verified = (state_of(journal_with(*outcomes, verified=known)) for known in (False, True))
    assert verified.run == plain.run
    kept = {name: (step.status, step.attempts) for name, step in plain.steps.items()}
    assert {name: (step.status, step.attempts) for name, step in verified.steps.items()} == kept
    assert overall(verified, live=False) == overall(plain, live=False)
    assert verified.verified_at
    assert not plain.verified_at


def test_the_metrics_of_runs_are_those_that_they_would_be_without() -> None:
    """A verification says nothing of when a run began, lived or ended, not even of one that was cut off."""
    fold = MetricsFold("c")
    journal = journal_with("", "succeeded", verified=True)
    by_run: dict[str, set[str]] = {}
    for event in journal.events:
        names = {sample.name.removeprefix("contextcore_install_") for sample in fold.take(event)}
        by_run.setdefault(event.run_id, set()).update(names)
    assert by_run["v1"] == by_run["v2"]
    assert by_run["v1"] == {
        "requirement_status_ratio",
        "requirement_measured_timestamp",
        "category_completeness_percent",
        "completeness_percent",
        "verification_timestamp",
        "verified_timestamp",
    }
    assert "info" in by_run["r1"] | by_run["r2"]


def test_a_run_that_was_cut_off_ends_in_its_trace_where_it_did() -> None:
    spans = []
    for known in (False, True):
        fold = TraceFold("c")
        journal = journal_with("", "succeeded", verified=known)
        spans.append(
            [
                (span.name, span.error, span.end_us - span.start_us)
                for event in journal.events
                for span in fold.take(event)
                if span.run.run_id == "r1"
            ]
        )
    assert spans[0] == spans[1]


def test_the_history_shows_when_looking_began_and_what_came_of_it() -> None:
    summary = JournalSummary("o11y-dev")
    journal = journal_with("succeeded", verified=True)
    for event in journal.events:
        summary.take(0, event)
    assert [row["mode"] for row in summary.runs] == ["install", "verify"]
    row = summary.runs[1]
    assert (row["run_id"], row["outcome"], row["duration_seconds"]) == ("v1", "failed", 1.5)
    assert row["started_at"] < Event(1, journal.events[-1].at_us, "", Kind.TICK).as_document()["at"]


def test_what_was_found_while_the_store_was_away_makes_no_installation_incomplete() -> None:
    journal = journal_with("succeeded", verified=True)
    shipper = Shipper(journal, MemoryCursors(), "c", lambda: None, lambda _: None)
    run = sum(event.run_id in {"r0", "r1"} for event in journal.events)
    assert shipper.unsent() == run
    for _ in range(3):
        journal.add("v9", Kind.VERIFIED, **FOUND)
    assert shipper.unsent() == run


def test_only_what_says_that_it_is_no_part_of_a_run_stands_alone() -> None:
    document = {"number": 1, "at": "2026-01-01T12:00:00Z", "run_id": "r", "kind": "verified"}
    assert not event_from_document({**document, "step": "metrics_seed", "requirements": []}).stands_alone
    assert event_from_document({**document, "mode": "verify", "requirements": []}).stands_alone
    assert not event_from_document({**document, "kind": "run_started", "mode": "verify"}).stands_alone
