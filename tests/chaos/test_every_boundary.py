"""The power fails at every boundary of a run: the next one carries on, and nothing is lost, invented or repeated.

A failure names its boundary, its loss and its seed, which replay it. CHAOS_SHARE is the share of the boundaries that
are tried: a few in every test run, all of them by `make chaos`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.conftest import Tried
from chaos.next_run import check_the_next_run
from chaos.power_cut import Loss, PowerCut
from chaos.quick_plan import World, ended

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
SHARE = float(os.environ.get("CHAOS_SHARE", "0.03"))
MOMENTS = int(os.environ.get("CHAOS_MOMENTS", "10"))


def passed_by(world: World) -> int:
    """Return how many boundaries a run passes that nothing disturbs."""
    told = world.home.parent / "passed"

    def count(install: Callable[[], int]) -> int:
        with PowerCut(world.home).plugged_in() as disk:
            code = install()
        told.write_text(str(disk.passed))
        return code

    assert world.run(count) == 0
    return int(told.read_text())


@pytest.fixture(scope="module")
def boundaries(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return how many boundaries an installation passes."""
    return passed_by(World(tmp_path_factory.mktemp("counted")))


@pytest.mark.parametrize("loss", list(Loss))
def test_the_power_may_fail_at_any_boundary(boundaries: int, loss: Loss, tried: Tried) -> None:
    assert boundaries > 100, "the run no longer passes through what is watched"
    draw = random.Random(SEED)
    chosen = [number for number in range(1, boundaries + 1) if draw.random() < SHARE]
    for number in chosen:
        with tempfile.TemporaryDirectory() as folder:
            told = f"CHAOS_SEED={SEED}: boundary {number} of {boundaries}, what was not synced is {loss}"
            survive(World(Path(folder)), number, loss, told)
    tried(f"power cut at a boundary, what was not synced is {loss}", len(chosen))


class LongWorld(World):
    """A copy of one with some runs behind it; its next run begins with compressing the journal."""

    part_bytes = 2_500

    def __init__(self, folder: Path, first: World) -> None:
        super().__init__(folder)
        shutil.copytree(first.home, self.home, symlinks=True)
        shutil.copy(first.ledger, self.ledger)


@pytest.mark.parametrize("loss", list(Loss))
def test_the_power_may_fail_at_any_boundary_of_a_run_that_compresses_the_journal(
    tmp_path: Path, loss: Loss, tried: Tried
) -> None:
    first = World(tmp_path)
    assert [first.run() for _ in range(3)] == [0, 0, 0]
    boundaries = passed_by(LongWorld(tmp_path / "counted", first))
    draw = random.Random(SEED + 1)
    chosen = [number for number in range(1, boundaries + 1) if draw.random() < SHARE]
    for number in chosen:
        with tempfile.TemporaryDirectory() as folder:
            told = f"CHAOS_SEED={SEED}: boundary {number} of {boundaries}, what was not synced is {loss}"
            world = LongWorld(Path(folder), first)
            survive(world, number, loss, told)
            assert list(world.files.glob("journal/*.jsonl.gz")), told
    tried(f"power cut in a run that compresses the journal, what was not synced is {loss}", len(chosen))


def survive(world: World, number: int, loss: Loss, told: str) -> None:
    disk = PowerCut(world.home, number, loss, random.Random(SEED + number))

    def cut(install: Callable[[], int]) -> int:
        with disk.plugged_in():
            return install()

    code = world.run(cut)
    assert code in (0, -signal.SIGKILL), f"{told}: exit code {code}"
    check_the_next_run(world, told, torn=loss is Loss.TORN)


def test_a_run_may_be_killed_at_any_moment(tried: Tried) -> None:
    draw = random.Random(SEED)
    killed = 0
    for number in range(MOMENTS):
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            pid = world.start()
            time.sleep(draw.uniform(0.0, 0.25) if number else 0.0)  # the first is killed for sure
            os.kill(pid, signal.SIGKILL)
            killed += ended(pid) == -signal.SIGKILL
            check_the_next_run(world, f"CHAOS_SEED={SEED}: moment {number}")
    assert killed, "every run had ended before it was killed"
    tried("killed at a random moment", MOMENTS)
