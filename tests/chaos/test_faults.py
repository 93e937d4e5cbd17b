"""The disk refuses at every call: one sentence and its exit code, nothing torn, and the next run carries on.

A failure names its error and its call, which replay it. CHAOS_FAULTS is the share of the calls that are tried: a few in
every test run, all of them by `make chaos`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from chaos.conftest import Came
from chaos.faults import ALL, FAULTS, FaultyDisk
from chaos.next_run import check_the_next_run, journal
from chaos.quick_plan import World

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
SHARE = float(os.environ.get("CHAOS_FAULTS", "0.008"))
PAGE = 4096

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount") or os.uname().sysname != "Linux",
    reason="a tiny filesystem is mounted, which needs root on Linux",
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the calls that an installation makes which nothing disturbs."""
    world = World(tmp_path_factory.mktemp("counted"))
    disk = FaultyDisk(world.home, ALL)
    told = world.home.with_name("called")

    def count(install: Callable[[], int]) -> int:
        with disk.plugged_in():
            code = install()
        told.write_text(json.dumps(disk.called))
        return code

    assert world.run(count) == 0
    called: list[str] = json.loads(told.read_text())
    return called


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", FAULTS, ids=lambda number: errno.errorcode[number])
def test_the_disk_may_refuse_at_any_call(calls: list[str], error: int, lasting: bool, came_of: Came) -> None:
    concerned = [name for name in calls if name in FAULTS[error]]
    assert len(concerned) > 10, "the run no longer makes the calls that are watched"
    how = f"{errno.errorcode[error]} ({os.strerror(error).lower()}), {'from then on' if lasting else 'once'}"
    draw = random.Random(SEED + error)
    for number, name in enumerate(concerned, 1):
        if draw.random() < SHARE:
            with tempfile.TemporaryDirectory() as folder:
                told = f"CHAOS_SEED={SEED}: {how} at call {number} of {len(concerned)}, {name}"
                world = World(Path(folder))
                came_of(how, survive(world, FaultyDisk(world.home, error, number, lasting), told))


def survive(world: World, disk: FaultyDisk, told: str) -> int:
    """Run into the fault, see that it was survived, and return the run's exit code."""

    def refuse(install: Callable[[], int]) -> int:
        with disk.plugged_in():
            code = install()
        world.home.with_name("safe").write_text(json.dumps(disk.safe))
        return code

    code = run_into(world, refuse, told)
    safe = json.loads(world.home.with_name("safe").read_text()).get(str(world.files / "journal.jsonl"), 0)
    kept = world.files / "journal.jsonl"
    assert not safe or kept.stat().st_size >= safe, f"{told}: what was synced is gone"
    check_the_next_run(world, told)
    return code


def run_into(world: World, around: Callable[[Callable[[], int]], int], told: str) -> int:
    """Run once, and see that it ends as a run may that the machine refuses something; return its exit code."""
    said = world.home.with_name("said")

    def listening(install: Callable[[], int]) -> int:
        with patch.object(sys, "stderr", io.StringIO()) as stderr:
            code = around(install)
        said.write_text(stderr.getvalue())
        return code

    code = world.run(listening)
    shown = world.shown.read_text() + said.read_text()
    assert "Traceback" not in shown, f"{told}: {shown}"
    assert code in (0, 4), f"{told}: exit code {code}: {shown[-2000:]}"
    if code:
        error = json.loads(world.shown.read_text().splitlines()[-1])
        assert error["schema"] == "contextcore-install/error/v1", f"{told}: {shown}"
        assert error["message"].count("\n") == 0, told
        assert error["hint"], told
    return code


@pytest.mark.parametrize("limit", [n for n in range(4, 33) if SHARE == 1 or n in (5, 8, 12)])
def test_there_may_be_no_more_descriptors(tmp_path: Path, limit: int, came_of: Came) -> None:
    def limited(install: Callable[[], int]) -> int:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            return install()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    world, told = World(tmp_path), f"{limit} descriptors"
    code = run_into(world, limited, told)
    check_the_next_run(world, told)
    came_of("a limit of 4 to 32 open files (ulimit -n)", code)


@needs_mounts
@pytest.mark.parametrize("pages", [n for n in range(1, 41) if SHARE == 1 or n in (4, 9, 15)])
def test_a_real_filesystem_may_be_tiny(tmp_path: Path, pages: int, came_of: Came) -> None:
    world, told = World(tmp_path), f"a filesystem of {pages} pages"
    with tmpfs(world.home, pages * PAGE):
        code = run_into(world, lambda install: install(), told)
        if code == 0:
            assert journal(world)[-1]["kind"] == "run_finished", told
        options = f"remount,size={1 << 20}"
        subprocess.run(["mount", "-o", options, str(world.home)], check=True)
        check_the_next_run(world, told)
    came_of("a real filesystem of 4 to 160 KiB that is full at some point", code)


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
