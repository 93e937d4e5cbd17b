"""The retry policy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.engine.plan import RetryPolicy


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_stay_between_floor_and_cap(attempt: int, draw: float) -> None:
    policy = RetryPolicy()
    assert policy.floor_s <= policy.delay(attempt, lambda: draw) <= policy.cap_s


def test_back_off_doubles_until_the_cap() -> None:
    policy = RetryPolicy(base_s=1.0, cap_s=5.0, floor_s=0.0)
    assert [policy.delay(attempt, lambda: 1.0) for attempt in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_only_what_is_retryable_is_tried_again_and_only_so_often() -> None:
    policy = RetryPolicy(attempts=2)
    assert policy.allows_another(1, retryable=True)
    assert not policy.allows_another(2, retryable=True)
    assert not policy.allows_another(1, retryable=False)
