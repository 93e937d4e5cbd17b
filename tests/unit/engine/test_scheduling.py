"""Timers: what is called when, and what a cancelled one leaves behind. Workers: how many threads, and their end."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

from contextcore_install.engine.scheduling import Timers, Workers
from kit.stores import wait_until


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


def test_one_thread_does_what_follows_from_what_it_did_and_ends_with_the_workers() -> None:
    workers, done, threads = Workers(), SimpleQueue[int](), set[threading.Thread]()

    def call(number: int) -> None:
        def work() -> Callable[[], None]:
            threads.add(threading.current_thread())
            return lambda: done.put(number)

        workers.submit(work)

    for number in range(200):
        call(number)
        assert done.get(timeout=60) == number
    workers.end()
    assert len(threads) == 1
    wait_until(lambda: not any(thread.is_alive() for thread in threads), "it goes on")


def test_calls_that_block_have_a_thread_each_up_to_the_most() -> None:
    workers, begun, go_on = Workers(most=2), SimpleQueue[None](), threading.Event()

    def blocks() -> Callable[[], None]:
        begun.put(None)
        go_on.wait(60)
        return lambda: None

    for _ in range(3):
        workers.submit(blocks)
    begun.get(timeout=60)
    begun.get(timeout=60)
    assert begun.empty()
    workers.forget_one()
    workers.submit(blocks)
    begun.get(timeout=60)
    go_on.set()
    workers.end()
