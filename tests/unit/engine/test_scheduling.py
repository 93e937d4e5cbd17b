"""Timers: what is called when, and what a cancelled one leaves behind."""

from __future__ import annotations

import weakref

from contextcore_install.engine.scheduling import Timers


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now_us(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now_s


class Alarm:
    """An action that counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def test_what_is_due_is_called_once_and_in_order() -> None:
    clock, called = SetClock(), list[str]()
    timers = Timers(clock)
    timers.after(2.0, lambda: called.append("second"))
    timers.after(1.0, lambda: called.append("first"))
    timers.after(9.0, lambda: called.append("not yet"))
    clock.now_s += 5.0
    timers.fire()
    timers.fire()
    assert called == ["first", "second"]


def test_the_wait_is_for_the_next_that_was_not_cancelled() -> None:
    clock = SetClock()
    timers = Timers(clock)
    assert timers.next_in_s is None
    soon = timers.after(1.0, Alarm())
    timers.after(8.0, Alarm())
    assert timers.next_in_s == 1.0
    timers.cancel(soon)
    assert timers.next_in_s == 8.0
    clock.now_s += 60.0
    assert timers.next_in_s == 0.0


def test_a_cancelled_timer_is_not_called() -> None:
    clock, alarm, other = SetClock(), Alarm(), Alarm()
    timers = Timers(clock)
    number = timers.after(1.0, alarm)
    timers.after(1.0, other)
    timers.cancel(number)
    timers.cancel(number)
    clock.now_s += 1.0
    timers.fire()
    assert (alarm.calls, other.calls) == (0, 1)


def test_an_action_may_cancel_what_is_due_as_well() -> None:
    clock, alarm = SetClock(), Alarm()
    timers = Timers(clock)
    numbers: list[int] = []
    timers.after(1.0, lambda: timers.cancel(numbers[0]))
    numbers.append(timers.after(2.0, alarm))
    clock.now_s += 3.0
    timers.fire()
    assert alarm.calls == 0


def test_many_cancelled_timers_leave_those_that_are_awaited_and_keep_nothing_alive() -> None:
    def cancelled_alarm() -> weakref.ref[Alarm]:
        alarm = Alarm()
        timers.cancel(timers.after(1800.0, alarm))
        return weakref.ref(alarm)

    clock, kept = SetClock(), Alarm()
    timers = Timers(clock)
    timers.after(3600.0, kept)
    assert not any(cancelled_alarm()() for _ in range(1000))
    clock.now_s += 3600.0
    timers.fire()
    assert kept.calls == 1
