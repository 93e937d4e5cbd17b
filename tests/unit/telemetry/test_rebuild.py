"""The fold read backwards gives the state that it was made from, except for what no sample says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.state import State
from contextcore_install.telemetry.exporters.backends import Series
from contextcore_install.telemetry.folds.metrics import MetricsFold
from contextcore_install.telemetry.rebuild import REASON_LOST, state_from_series
from kit.stores import MINUTE_US, MemoryJournal

NOW_US = 1_700_000_000_123_456
ERROR = {"code": "x", "message": "it broke", "hint": "mend it"}


def succeeded(journal: MemoryJournal) -> None:
    journal.whole_run("r1", step_us=700_000)


def failed_and_carried_on(journal: MemoryJournal) -> None:
    journal.begin("r1")
    journal.add("r1", Kind.STEP_STARTED, "preflight", after_us=900_000)
    journal.add("r1", Kind.STEP_FAILED, "preflight", after_us=900_000, error=ERROR, duration_seconds=0.9)
    journal.end("r1")
    journal.begin("r2", after_us=3600 * 1_000_000)
    journal.steps("r2", step_us=1_300_000)
    journal.add("r2", Kind.VERIFIED, requirements=[{"requirement": "a", "category": "b", "ratio": 1.0}])
    journal.end("r2")


def failed_last(journal: MemoryJournal) -> None:
    journal.whole_run("r1")
    journal.begin("r2")
    journal.add("r2", Kind.STEP_INVALIDATED, "pods_ready", reason="changed")
    for _ in range(3):
        journal.add("r2", Kind.STEP_STARTED, "pods_ready", after_us=5_000_000)
        journal.add("r2", Kind.STEP_RETRYING, "pods_ready", error=ERROR, delay_seconds=1)
    journal.add("r2", Kind.STEP_FAILED, "pods_ready", after_us=5_000_000, error=ERROR, duration_seconds=20.125)
    journal.end("r2")


def cut_off(journal: MemoryJournal) -> None:
    journal.begin("r1")
    journal.add("r1", Kind.STEP_COMPLETED, "preflight", after_us=2_000_000, duration_seconds=2.0, already=True)
    journal.add("r1", Kind.STEP_STARTED, "cluster_create", after_us=2_000_000)
    journal.add("r1", Kind.HEARTBEAT, after_us=15_000_000)


def begun_anew(journal: MemoryJournal) -> None:
    journal.whole_run("r1")
    journal.whole_run("r2", after_us=MINUTE_US)


def series_of(journal: MemoryJournal) -> Series:
    fold = MetricsFold("c")
    series: Series = {}
    for event in journal.events:
        for sample in fold.take(event):
            series.setdefault(sample.series, {})[sample.at_ms] = sample.value
    return series


def comparable(state: State) -> dict[str, Any]:
    """Return what samples tell of a state: neither ids, settings and mode, nor why a step failed."""
    document = state.as_document()
    for name in ("installation_id", "settings", "updated_at"):
        del document[name]
    document["run"].pop("mode", None)
    for step in document["steps"].values():
        step["error"] = bool(step.pop("error", None))
    return document


@pytest.mark.parametrize("story", [succeeded, failed_and_carried_on, failed_last, cut_off])
def test_the_state_comes_back_field_by_field(story: Callable[[MemoryJournal], None]) -> None:
    journal = MemoryJournal(NOW_US)
    story(journal)
    original = State("c").apply_all(journal.events)
    rebuilt = state_from_series("c", series_of(journal))
    assert rebuilt
    expected = comparable(original)
    expected["run"].setdefault("outcome", "")
    got = comparable(rebuilt)
    got["run"].setdefault("outcome", "")
    if story is not cut_off:  # what an end was called is told by what it left
        expected["run"]["outcome"] = "failed" if story is failed_last else "succeeded"
    assert got == expected


def test_why_a_step_failed_is_said_to_be_lost() -> None:
    journal = MemoryJournal(NOW_US)
    failed_last(journal)
    rebuilt = state_from_series("c", series_of(journal))
    assert rebuilt
    assert rebuilt.step("pods_ready").error == REASON_LOST


def test_the_same_samples_are_the_same_installation() -> None:
    journal = MemoryJournal(NOW_US)
    succeeded(journal)
    first, second = (state_from_series("c", series_of(journal)) for _ in range(2))
    assert first
    assert second
    assert first.installation_id == second.installation_id != ""


def test_an_installation_that_was_begun_anew_counts_from_there() -> None:
    before, after = MemoryJournal(NOW_US), MemoryJournal(NOW_US + 60 * MINUTE_US)
    failed_last(before)
    succeeded(after)
    series = series_of(before)
    for key, values in series_of(after).items():
        series.setdefault(key, {}).update(values)
    rebuilt = state_from_series("c", series)
    assert rebuilt
    assert rebuilt.started_at == State("c").apply_all(after.events).started_at
    assert {step: rebuilt.step(step).attempts for step in STEP_IDS} == dict.fromkeys(STEP_IDS, 1)


def test_an_installation_that_goes_on_with_earlier_records_is_dated_from_its_beginning() -> None:
    """As after a restore, or with a journal that was cut short: some steps' attempts are fewer than before."""
    before, after = MemoryJournal(NOW_US), MemoryJournal(NOW_US + 60 * MINUTE_US)
    failed_last(before)
    document = State("c").apply_all(before.events).as_document()
    for step in document["steps"].values():
        step["attempts"] = 1
    after.add("r3", Kind.STATE_IMPORTED, document=document)
    after.add("r3", Kind.RUN_STARTED, mode="resume")
    after.end("r3")
    series = series_of(before)
    for key, values in series_of(after).items():
        series.setdefault(key, {}).update(values)
    rebuilt = state_from_series("c", series)
    assert rebuilt
    assert rebuilt.step("pods_ready").attempts == 1
    assert rebuilt.started_at == State("c").apply_all(before.events).started_at


def test_no_samples_are_no_state() -> None:
    assert state_from_series("c", {}) is None
