"""What a long history costs: the same commands on one installation, young and after ten thousand runs."""

from __future__ import annotations

import statistics
import tempfile
from operator import truediv
from pathlib import Path

from finished import Installation
from long_history import Records, grow, layout_of
from measure import FOLDER, Runs, once
from report import Row, Section

from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader

PAST = 10_000
MOST_RATIO = 1.2
MOST_CPU_S = 0.5
"""Seconds of CPU time that an answer may take which tells of every run."""

_TELLS_ALL = {
    "`history`": ("history",),
    "`history --output json`": ("history", "--output", "json"),
    "`report`": ("report", "--yes", "-o", "REPORT"),
}
_ASKED = {
    "`--status`": ("--status",),
    "`--status --output json`": ("--status", "--output", "json"),
    "`clusters`": ("clusters",),
    "`verify`": ("verify",),
    "everything done already": (),
    **_TELLS_ALL,
}


def measure(made: Installation, runs: int, past: int = PAST) -> Section:
    """Measure an installation's commands with its own history, and with `past` runs more."""
    layout = layout_of(made)
    once(made.command())  # it has nothing to do: that is what is repeated
    with tempfile.TemporaryDirectory(prefix="records-", dir=FOLDER) as folder:
        ages = {"young": Records(Path(folder, "young"), layout).take()}
        try:
            grow(layout, past)
            ages["old"] = Records(Path(folder, "old"), layout).take()
            size = _size(layout, past)
            taken = {name: _in_turns(made, name, ages, runs) for name in _ASKED}
        finally:
            ages["young"].put()
    rows = [_row(name, taken[name]) for name in _ASKED]
    note = (
        f"{runs} runs each, in turns: with one run behind it, and with {past:,} more, which had nothing to do.\n"
        "Where every run is told of, the answer grows with their number; the rest does not."
    )
    return Section(f"A history of {past:,} runs", [*rows, size], note)


def _in_turns(made: Installation, name: str, ages: dict[str, Records], runs: int) -> dict[str, Runs]:
    report = str(made.home / "report.html")
    command = made.command(*(report if word == "REPORT" else word for word in _ASKED[name]))
    taken = {age: Runs() for age in ages}
    for turn in range(-1, runs):
        for age, records in ages.items():
            records.put()
            wall, cpu, memory = once(command)
            if turn >= 0:
                taken[age].wall.append(wall)
                taken[age].cpu.append(cpu)
                taken[age].memory.append(memory)
    return taken


def _row(name: str, taken: dict[str, Runs]) -> Row:
    young, old = taken["young"], taken["old"]
    ratio = statistics.median(map(truediv, old.wall, young.wall))
    beside = f"young: {young.median * 1e3:.0f} ms, {ratio:.2f} x"
    figure = f"{old.median * 1e3:.0f} ms"
    if name not in _TELLS_ALL:
        return Row(name, figure, beside, f"≤ {MOST_RATIO} x", ratio <= MOST_RATIO)
    cpu = statistics.median(old.cpu)
    target = f"≤ {MOST_CPU_S} s of CPU"
    return Row(name, f"{figure}, {cpu * 1e3:.0f} ms of CPU", beside, target, cpu <= MOST_CPU_S)


def _size(layout: ClusterLayout, past: int) -> Row:
    files = [layout.journal, *layout.past.iterdir()]
    size = sum(path.stat().st_size for path in files)
    whole = JournalReader(layout.journal).size()
    return Row(
        "the journal on disk",
        f"{size / 1e6:.1f} MB in {len(files)} files",
        f"as it was written: {whole / 1e6:.1f} MB, {whole / past / 1e3:.1f} kB a run",
    )
