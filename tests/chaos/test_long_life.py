"""Run after run, with what goes wrong now and then: the folder holds what it held, and each run's history.

CHAOS_RUNS is how many runs: some in every test run, a thousand by `make chaos`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos.conftest import Tried
from chaos.next_run import journal
from chaos.quick_plan import CLUSTER, World
from contextcore_install.core.dataclass import dataclass
from contextcore_install.storage.files import KEPT_QUARANTINED
from contextcore_install.storage.home import Home
from contextcore_install.storage.journal.compaction import read_journal_summary
from contextcore_install.storage.step_logs import KEPT_RUNS

pytestmark = pytest.mark.slow

RUNS = max(60, int(os.environ.get("CHAOS_RUNS", "60")))
SEGMENT_BYTES = 256 * RUNS
"""So that a part has some runs, and there are some parts, however many runs there are."""


@dataclass
class Held:
    """What is in a folder: files, bytes, and of those the bytes of the journal and its parts."""

    files: int
    bytes: int
    journal: int


def held(world: World) -> Held:
    files = [path for path in world.home.rglob("*") if path.is_file() and not path.is_symlink()]
    history = [path for path in files if path.name.startswith("journal.jsonl") or "journal" in path.parts]
    sizes = {path: path.stat().st_size for path in files}
    whole = [path for path in history if "unreadable" not in path.name]
    return Held(
        len(files) - len(whole),
        sum(size for path, size in sizes.items() if path not in whole),
        sum(sizes[path] for path in whole),
    )


def goes_wrong(world: World, number: int) -> None:
    """Have something befall the records between two runs, now and then."""
    if number % 4 == 1:
        (world.files / "install-state.json").write_bytes(b'{"version": "1.0", "st')
    if number % 6 == 2:
        with (world.files / "journal.jsonl").open("ab") as file:
            file.write(b"what is no event\n")
    if number % 5 == 3:
        (world.files / f".install-state.json.{number}.new").write_bytes(b"of one that was killed")


def test_the_folder_does_not_grow_but_for_each_runs_history(tmp_path: Path, tried: Tried) -> None:
    world = World(tmp_path)
    world.part_bytes = SEGMENT_BYTES
    seen: dict[int, Held] = {}
    for number in range(1, RUNS + 1):
        assert world.run() == 0
        seen[number] = held(world)
        if number < RUNS:
            goes_wrong(world, number)
    settled = seen[max(RUNS // 2, RUNS - 100)]
    assert seen[RUNS].files <= settled.files + KEPT_QUARANTINED
    most = 20_000 + KEPT_RUNS * 6 * 1_500 + KEPT_QUARANTINED * 2 * SEGMENT_BYTES
    assert seen[RUNS].bytes <= most
    assert len(list(world.files.glob("logs/*"))) <= KEPT_RUNS + 1
    assert len(list(world.files.glob("*.unreadable-*"))) <= KEPT_QUARANTINED
    assert not list(world.files.glob(".*.new"))
    assert seen[RUNS].journal <= 600 * RUNS + 2 * SEGMENT_BYTES
    _check_history(world)
    tried("run after run, with damage in between", RUNS)


def _check_history(world: World) -> None:
    layout = Home(world.home).cluster(CLUSTER)
    assert len(read_journal_summary(layout.journal, CLUSTER).runs) == RUNS
    assert {row["outcome"] for row in read_journal_summary(layout.journal, CLUSTER).runs} == {"succeeded"}
    numbers = [event["number"] for event in journal(world)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(list(layout.past.glob("*.jsonl.gz"))) > 2
