"""A run that finds nothing to do."""

from __future__ import annotations

import statistics

from finished import CLUSTER, Installation
from measure import ROOT, Command, answer, interleaved
from report import Row, Section

MOST_MEMORY_MIB = 60.0


def measure(made: Installation, runs: int) -> Section:
    """Measure the whole run, and how much of it is waiting for HTTP answers."""
    argv = ["--provider", "host", "--cluster", CLUSTER]
    taken = interleaved({"noop": made.command(*argv)}, runs)["noop"]
    watched = Command(
        [
            made.interpreter,
            *("-I", "-S", str(ROOT / "benchmarks" / "noop_watched.py")),
            *(str(made.home / "runtime" / "pycache"), str(ROOT / "src"), str(made.runtime), *argv),
        ],
        made.variables,
    )
    waited = statistics.median(float(answer(watched)) for _ in range(runs))
    memory = max(taken.memory) / 2**20
    own = taken.median - waited
    rows = [
        Row("`./create-cluster.sh`, everything done already", f"{taken.median * 1e3:.0f} ms"),
        Row("of which waiting for the answers of HTTP checks", f"{waited * 1e3:.0f} ms"),
        Row("the program's own cost", f"{own * 1e3:.0f} ms", "wall time less that waiting"),
        Row("CPU time, children included", f"{statistics.median(taken.cpu) * 1e3:.0f} ms"),
        Row(
            "peak memory, the largest of all runs",
            f"{memory:.0f} MiB",
            "",
            f"< {MOST_MEMORY_MIB:.0f} MiB",
            memory < MOST_MEMORY_MIB,
        ),
    ]
    note = (
        f"{runs} runs, launcher included, on the `host` provider with a real metrics store. All six steps are\n"
        "checked, the run is recorded and sent to the store, and everything sent before is read back. Waiting is the\n"
        "time in which any thread waits in a socket call: what is made of the answers counts as the program's own."
    )
    return Section("A run with nothing to do", rows, note)
