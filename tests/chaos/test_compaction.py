"""The power fails at every boundary while a journal is compressed: nothing is lost, and a later call completes it."""

from __future__ import annotations

import os
import random
import signal
import tempfile
from pathlib import Path

import pytest

from chaos.conftest import Tried
from chaos.power_cut import Loss, PowerCut
from chaos.quick_plan import CLUSTER, World, ended
from chaos.test_every_boundary import SEED, SHARE
from contextcore_install.core.events import Event
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.compaction import compact, read_journal_summary
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.store import mend_records, read_records

RUNS = 6
MOST = 2_500
"""Bytes of a part: about one of the runs here."""

Events = list[tuple[int, Event]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a cluster that had some runs."""
    world = World(tmp_path_factory.mktemp("recorded"))
    for _ in range(RUNS):
        assert world.run() == 0
    return {path.name: path.read_bytes() for path in world.files.iterdir() if path.is_file()}


def standing(folder: Path, recorded: dict[str, bytes]) -> ClusterLayout:
    for name, content in recorded.items():
        (folder / name).write_bytes(content)
    return ClusterLayout(folder)


def compressing(layout: ClusterLayout, disk: PowerCut) -> int:
    """Compress the journal in a process of its own, which the disk may end; return its exit code."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            with disk.plugged_in():
                compact(layout.journal, CLUSTER, MOST)
            (layout.folder / "passed").write_text(str(disk.passed))
            code = 0
        finally:
            os._exit(code)
    return ended(pid)


@pytest.fixture(scope="module")
def boundaries(recorded: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> int:
    layout = standing(tmp_path_factory.mktemp("counted"), recorded)
    assert compressing(layout, PowerCut(layout.folder)) == 0
    assert len(list(layout.past.glob("*.jsonl.gz"))) > 2
    return int((layout.folder / "passed").read_text())


@pytest.mark.parametrize("loss", list(Loss))
def test_the_power_may_fail_at_any_boundary_of_a_compaction(
    recorded: dict[str, bytes], boundaries: int, loss: Loss, tried: Tried
) -> None:
    assert boundaries > 50, "the compaction no longer passes through what is watched"
    draw = random.Random(SEED)
    chosen = [number for number in range(1, boundaries + 1) if draw.random() < SHARE]
    for number in chosen:
        with tempfile.TemporaryDirectory() as folder:
            layout = standing(Path(folder), recorded)
            before = list(JournalReader(layout.journal).read())
            told = f"CHAOS_SEED={SEED}: boundary {number} of {boundaries}, what was not synced is {loss}"
            disk = PowerCut(layout.folder, number, loss, random.Random(SEED + number))
            assert compressing(layout, disk) == -signal.SIGKILL
            _check(layout, before, told)
    tried(f"power cut while the journal is compressed, what was not synced is {loss}", len(chosen))


def _check(layout: ClusterLayout, before: Events, told: str) -> None:
    state = _folded(before).state
    assert list(JournalReader(layout.journal).read()) == before, told
    assert read_records(layout, CLUSTER).state == state, told
    layout.state.unlink()
    records = mend_records(layout, CLUSTER)
    assert (records.state, records.offset.events, records.imported) == (state, len(before), None), told
    for _ in range(2):  # the second time, there is nothing to do
        compact(layout.journal, CLUSTER, MOST)
        assert list(JournalReader(layout.journal).read()) == before, told
        assert read_journal_summary(layout.journal, CLUSTER).as_document() == _folded(before).as_document(), told
        assert {path.name for path in layout.folder.iterdir()} <= {"journal", "lock", "cursors.json"}, told
        parts = {path.name.split(".")[0]: path for path in layout.past.iterdir()}
        assert len(list(layout.past.iterdir())) == 2 * len(parts), f"{told}: {list(layout.past.iterdir())}"


def _folded(events: Events) -> JournalSummary:
    summary = JournalSummary(CLUSTER)
    for position, event in events:
        summary.take(position, event)
    return summary
