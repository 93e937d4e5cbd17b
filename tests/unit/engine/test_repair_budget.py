"""A watch's budget: so many an hour, and pauses that grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.engine.plan import HOUR_S, RepairBudget

TIMES = st.lists(st.floats(0, 4 * HOUR_S), max_size=12)
NOW = st.floats(0, 4 * HOUR_S)


def test_the_first_remedy_may_begin_at_once() -> None:
    assert RepairBudget().pause_s([], 100.0) == 0
    assert not RepairBudget().exhausted([], 100.0)


def test_pauses_double_up_to_their_cap() -> None:
    budget = RepairBudget(most=10, base_s=5, cap_s=60)
    pauses = [budget.pause_s([100.0] * count, 100.0) for count in range(1, 7)]
    assert pauses == [5, 10, 20, 40, 60, 60]


def test_a_pause_that_is_over_is_over() -> None:
    assert RepairBudget(base_s=5).pause_s([100.0], 103.0) == 2
    assert RepairBudget(base_s=5).pause_s([100.0], 110.0) == 0


def test_what_was_an_hour_ago_counts_no_more() -> None:
    budget = RepairBudget(most=2)
    assert budget.exhausted([0.0, 10.0], 20.0)
    assert not budget.exhausted([0.0, 10.0], HOUR_S + 5)
    assert budget.pause_s([0.0, 10.0], 2 * HOUR_S) == 0


@given(times=TIMES, now=NOW, most=st.integers(1, 10))
def test_never_more_than_the_budget_in_any_hour(times: list[float], now: float, most: int) -> None:
    budget = RepairBudget(most=most)
    if not budget.exhausted(times, now):
        assert sum(now - HOUR_S < at for at in [*times, now]) <= most


@given(times=TIMES, now=NOW)
def test_a_pause_is_bounded_whatever_the_clock_did(times: list[float], now: float) -> None:
    assert 0 <= RepairBudget().pause_s(times, now) <= RepairBudget().cap_s
