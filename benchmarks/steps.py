"""Durable steps a second, beside DBOS and beside what the disk can do."""

from __future__ import annotations

import statistics
import sys

from measure import ROOT, Command, answer
from report import Row, Section

SYNCS_A_STEP = 2
LEAST_OF_LIMIT = 0.75
LEAST_TIMES_DBOS = 2.0
LEAST_FLAT = 0.8
"""How much of its pace the largest plan must keep of the middle one's."""

DBOS_STEPS = 2_000
LIMIT_RECORDS = 2_000
COUNTS = (10, 1_000, 10_000)
CHAIN, WIDE = "chain", "wide"


Pace = dict[str, list[float]]
"""Steps a second by what was measured, one figure a turn; a turn's figures belong together."""


def measure(runs: int) -> Section:
    """Measure plans of each size, DBOS and the disk's limit, in turns."""
    pace: Pace = {}
    for _ in range(runs):
        for count in COUNTS:
            _note(pace, f"{CHAIN} {count}", count / _seconds("durable_steps.py", CHAIN, str(count)))
            # Beside each of ours, so that a busy moment meets both; halved, as a step is two synced records.
            records = LIMIT_RECORDS / _seconds("disk_limit.py", str(LIMIT_RECORDS))
            _note(pace, f"limit {count}", records / SYNCS_A_STEP)
            _note(pace, f"{WIDE} {count}", count / _seconds("durable_steps.py", WIDE, str(count)))
        _note(pace, "dbos", DBOS_STEPS / _seconds("durable_steps_dbos.py", str(DBOS_STEPS)))
    return _section(pace, runs)


def _share(pace: Pace, name: str, other: str) -> float:
    """Return the median of what each turn's figure is of another's."""
    return statistics.median(ours / its for ours, its in zip(pace[name], pace[other], strict=True))


def _note(pace: Pace, name: str, value: float) -> None:
    pace.setdefault(name, []).append(value)


def _seconds(script: str, *arguments: str) -> float:
    return float(answer(Command([sys.executable, "-S", str(ROOT / "benchmarks" / script), *arguments])))


def _section(pace: Pace, runs: int) -> Section:
    flat = _share(pace, f"{CHAIN} {COUNTS[-1]}", f"{CHAIN} {COUNTS[1]}")
    limit = statistics.median(value for count in COUNTS for value in pace[f"limit {count}"])
    rows = [
        *(_chain_row(pace, count) for count in COUNTS),
        Row(
            f"pace of {COUNTS[-1]:,} steps against {COUNTS[1]:,}, in a chain",
            f"{flat:.2f} x",
            "",
            f"≥ {LEAST_FLAT} x",
            flat >= LEAST_FLAT,
        ),
        *(_wide_row(pace, count) for count in COUNTS),
        Row("the limit: append and sync, two records a step", f"{limit:,.0f} steps/s"),
        Row(f"DBOS on SQLite, {DBOS_STEPS:,} steps of one workflow", f"{statistics.median(pace['dbos']):,.0f} steps/s"),
    ]
    return Section("Durable steps a second", rows, _NOTE.format(runs=runs, dbos_steps=DBOS_STEPS))


def _chain_row(pace: Pace, count: int) -> Row:
    name = f"{CHAIN} {count}"
    of_limit, times_dbos = _share(pace, name, f"limit {count}"), _share(pace, name, "dbos")
    return Row(
        f"{count:,} steps, each needing the one before",
        f"{statistics.median(pace[name]):,.0f} steps/s",
        f"{times_dbos:.1f} x DBOS, {of_limit:.2f} x the limit",
        f"≥ {LEAST_TIMES_DBOS:.0f} x DBOS, ≥ {LEAST_OF_LIMIT} x the limit",
        times_dbos >= LEAST_TIMES_DBOS and of_limit >= LEAST_OF_LIMIT,
    )


def _wide_row(pace: Pace, count: int) -> Row:
    name = f"{WIDE} {count}"
    return Row(
        f"{count:,} independent steps",
        f"{statistics.median(pace[name]):,.0f} steps/s",
        f"{_share(pace, name, 'dbos'):.1f} x DBOS, {_share(pace, name, f'limit {count}'):.2f} x the limit",
    )


_NOTE = """\
{runs} turns, each in processes of their own whose start is not counted; ratios are medians of the turns' ratios. A
step checks, is recorded as begun, is applied, checks again and is recorded as done. That it is begun is synced before
it is applied, that it is done before what needs it is applied, and within a millisecond; the state file is kept up
beside it. These steps check in no time: so in a chain the end of one and the beginning of the next share a sync, where
the limit counts two, and a check that takes longer than a millisecond costs a second sync while it runs. Independent
steps share more of them, and pass that limit. DBOS (`@DBOS.workflow`, `@DBOS.step`, its own settings) runs
{dbos_steps:,} steps beside every size, as it takes long; it records a step once, when it is done.

Where a step's time goes in a chain, by a profile: a good four tenths of it are the sync, not quite as much the
hand-over to the threads that check and apply, there and back twice, which is mostly waking an idle processor, and a
seventh making and writing its four events. Rewriting the state file every 80 ms takes about one part in thirty at
10,000 steps, half of that for the disk to take it."""
