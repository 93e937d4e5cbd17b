"""How long it will still take: from earlier runs, honestly, without jumping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.progress import Estimate, Progress, durations, estimate, usual

CHAIN = {"a": (), "b": ("a",), "c": ("b",)}
HISTORY = {"a": [1.0], "b": [30.0], "c": [10.0]}


def test_what_is_left_is_what_the_remaining_steps_usually_take() -> None:
    assert estimate(HISTORY, CHAIN, {}, ()).seconds == 41
    assert estimate(HISTORY, CHAIN, {"b": 12.0}, {"a"}).seconds == 28
    assert estimate(HISTORY, CHAIN, {}, {"a", "b", "c"}).seconds == 0


def test_steps_that_run_at_once_count_by_the_longest_way() -> None:
    needs = {"a": (), "b": (), "c": ("a", "b")}
    assert estimate(HISTORY, needs, {}, ()).seconds == 40


def test_without_a_history_nothing_is_promised() -> None:
    assert estimate({"a": [1.0]}, CHAIN, {}, ()) == Estimate()
    assert Estimate().words() == ""


def test_a_step_that_takes_longer_than_usual_is_said_to() -> None:
    assert estimate(HISTORY, CHAIN, {"b": 60.0}, {"a"}).words() == "longer than usual"
    assert not estimate(HISTORY, CHAIN, {"a": 4.0}, ()).late  # a few seconds are nothing


def test_steps_that_were_done_before_count_as_a_look() -> None:
    assert estimate(HISTORY, CHAIN, {}, (), quick={"a", "b", "c"}).words() == "a few seconds left"


def test_one_slow_run_long_ago_does_not_spoil_the_estimate() -> None:
    assert usual([500.0, 30.0, 31.0, 29.0, 400.0, 30.0]) == 30.0
    assert usual([]) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2, "a few seconds left"),
        (6, "about 10 s left"),
        (38, "about 40 s left"),
        (56, "about 1 min left"),
        (200, "about 3 min left"),
    ],
)
def test_estimates_are_no_more_precise_than_they_are_true(seconds: float, words: str) -> None:
    assert Estimate(seconds).words() == words


def test_a_shown_estimate_falls_with_the_time_unless_much_is_learnt() -> None:
    progress = Progress({})
    assert progress._steady(Estimate(40), 0).seconds == 40
    assert progress._steady(Estimate(41), 2).seconds == 38
    assert progress._steady(Estimate(5), 3).seconds == 5
    assert progress._steady(Estimate(90), 4).seconds == 90


@given(st.lists(st.floats(0, 1000), min_size=2))
def test_a_shown_estimate_rises_only_when_much_is_learnt(estimates: list[float]) -> None:
    progress, before = Progress({}), None
    for second, fresh in enumerate(estimates):
        shown = progress._steady(Estimate(fresh), second).seconds
        assert shown is not None
        if before is not None and shown > before:
            assert shown == fresh
            assert shown - before > 4
        before = shown


def test_durations_are_those_of_real_work() -> None:
    def completed(step: str, **data: object) -> Event:
        return Event(1, 0, "run", Kind.STEP_COMPLETED, step, data)

    told = [
        completed("a", duration_seconds=3),
        completed("a", duration_seconds=0.1, already=True),
        completed("a", duration_seconds="long"),
        completed("a", duration_seconds=True),
        completed("b"),
        Event(2, 0, "run", Kind.STEP_FAILED, "a", {"duration_seconds": 9}),
        completed("a", duration_seconds=5.0),
    ]
    assert durations(told) == {"a": [3.0, 5.0]}
