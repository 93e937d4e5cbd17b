"""The clock jumps, the machine sleeps, the terminal goes, nobody reads: the record stays in order, nothing hangs."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

import pytest

from chaos.conftest import Came
from chaos.next_run import check_the_next_run, journal
from chaos.quick_plan import CLUSTER, World, ended
from contextcore_install.core.events import microseconds, second
from contextcore_install.system.clock import SystemClock
from contextcore_install.ui import terminal
from fuzz.hostile import invoke

DAY_US = 86_400_000_000
MOST_S = 300.0
"""More than a quick plan takes anywhere, and less than any jump of a clock here."""

NOW_US = SystemClock.now_us


def jumping(*jumps_us: int) -> Callable[[Callable[[], int]], int]:
    """Return what carries a run out while its clock jumps, at every look to the next of these places."""
    looks = [0]

    def now_us(clock: SystemClock) -> int:
        looks[0] += 1
        return NOW_US(clock) + jumps_us[looks[0] % len(jumps_us)]

    def around(install: Callable[[], int]) -> int:
        with patch.object(SystemClock, "now_us", now_us):
            return install()

    return around


JUMPS = {
    "was wrong by ten days, and is right again": [jumping(10 * DAY_US)],
    "goes back by ten days between two runs": [jumping(0), jumping(-10 * DAY_US)],
    "jumps back and forth by a day during a run": [jumping(0, -DAY_US, DAY_US)],
    "begins in 1970": [jumping(60_000_000 - time.time_ns() // 1000)],
}


@pytest.mark.parametrize("how", JUMPS)
def test_the_clock_may_jump(tmp_path: Path, how: str, came_of: Came) -> None:
    world = World(tmp_path)
    for around in JUMPS[how]:
        assert world.run(around) == 0
    took = [event["duration_seconds"] for event in journal(world) if "duration_seconds" in event]
    assert took
    assert all(0 <= seconds < MOST_S for seconds in took), took
    check_the_next_run(world, how)
    came_of(f"the clock {how}", 0)


def test_records_of_the_future_are_named_until_they_are_put_aside(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(jumping(10 * DAY_US))
    world.run()
    assert names_the_clock(world)
    assert invoke(world.home, ["--cluster", CLUSTER, "--reset"]).code == 0
    world.run()
    assert not names_the_clock(world)
    assert journal(world)[-1]["at"] < second(NOW_US(SystemClock()) + 60_000_000)


def names_the_clock(world: World) -> bool:
    told = [event["text"] for event in journal(world) if event["kind"] == "notice"]
    return any("this machine's clock says" in text for text in told)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Marquesas", "Nonsense/Zone"])
def test_times_are_utc_in_every_zone(tmp_path: Path, zone: str, came_of: Came) -> None:
    def there(install: Callable[[], int]) -> int:
        os.environ["TZ"] = zone
        time.tzset()
        return install()

    world = World(tmp_path)
    began_us = NOW_US(SystemClock())
    assert world.run(there) == 0
    at = [event["at"] for event in journal(world)]
    assert all(moment.endswith("Z") for moment in at)
    assert began_us <= microseconds(at[0]) <= microseconds(at[-1]) <= NOW_US(SystemClock())
    check_the_next_run(world, zone)
    came_of("another time zone", 0)


def test_a_run_that_is_stopped_goes_on(tmp_path: Path, came_of: Came) -> None:
    draw = random.Random(0)
    world = World(tmp_path)
    pid = world.start()
    for _ in range(5):
        time.sleep(draw.uniform(0.0, 0.05))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(pid, signal.SIGCONT)
    assert ended(pid) == 0
    check_the_next_run(world, "stopped")
    came_of("stopped and continued (SIGSTOP, SIGCONT)", 0)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_can_be_resumed(tmp_path: Path, number: signal.Signals, came_of: Came) -> None:
    world = World(tmp_path)
    world.gate = tmp_path / "gate"
    pid = world.start()
    end = time.monotonic() + 60
    while not any(event["kind"] == "step_started" for event in journal(world)) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(pid, number)
    assert ended(pid) == 130
    state = json.loads((world.files / "install-state.json").read_text())
    assert state["run"]["outcome"] == "interrupted"
    world.gate.touch()
    check_the_next_run(world, number.name)
    came_of(f"{number.name} while a step works", 130)


def test_a_full_pipe_that_nobody_reads_holds_up_no_run(tmp_path: Path, came_of: Came) -> None:
    reader, writer = os.pipe()
    high = fcntl.fcntl(writer, fcntl.F_DUPFD, 200)
    os.set_blocking(high, False)
    try:
        while True:
            os.write(high, b"x" * 65_536)
    except BlockingIOError:
        os.set_blocking(high, True)
    came_of("standard output is a full pipe that nobody reads", into(World(tmp_path), high))
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_ends_no_run(tmp_path: Path, came_of: Came) -> None:
    reader, writer = os.pipe()
    high = fcntl.fcntl(writer, fcntl.F_DUPFD, 200)
    os.close(reader)
    came_of("standard output is closed early", into(World(tmp_path), high))
    os.close(writer)


def into(world: World, descriptor: int) -> int:
    """Run with a descriptor as standard output, with little patience for who does not read; return the exit code."""

    def hurried(install: Callable[[], int]) -> int:
        with patch.object(terminal, "UNREAD_S", 0.2):
            return install()

    def stream() -> TextIO:
        return os.fdopen(descriptor, "w", encoding="utf-8")

    own, world.stdout = world.stdout, stream
    code = world.run(hurried)
    assert code == 0
    os.close(descriptor)
    world.stdout = own
    check_the_next_run(world, "unread")
    return code
