"""Of installers that start at the same instant, exactly one is at work; the others say which."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.conftest import Tried
from chaos.quick_plan import World, ended, lines
from contextcore_install.engine.names import STEP_IDS

pytestmark = pytest.mark.slow

PAIRS = int(os.environ.get("CHAOS_PAIRS", "10"))
PATIENCE_S = 30.0


def test_of_two_starts_at_the_same_instant_exactly_one_is_at_work(tried: Tried) -> None:
    for _ in range(PAIRS):
        with tempfile.TemporaryDirectory() as folder:
            start_two(World(Path(folder)), Path(folder))
    tried("two installers started at the same instant", PAIRS)


def start_two(world: World, folder: Path) -> None:
    go, world.gate = folder / "go", folder / "gate"

    def together(install: Callable[[], int]) -> int:
        while not go.exists():
            time.sleep(0.001)
        return install()

    pids = [world.start(together), world.start(together)]
    go.touch()
    refused, code = first_ended(pids)
    assert code == 5, f"the first to end did so with {code}"
    world.gate.touch()
    (worker,) = [pid for pid in pids if pid != refused]
    assert ended(worker) == 0
    assert lines(world.ledger) == dict.fromkeys(STEP_IDS, 1)


def first_ended(pids: list[int]) -> tuple[int, int]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for pid in pids:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return pid, os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    raise AssertionError("both are at work")
