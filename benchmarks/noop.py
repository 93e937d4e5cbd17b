"""A run that finds nothing to do, beside pyinfra, which finds the same six steps done."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from operator import truediv
from pathlib import Path

from finished import CLUSTER, Installation
from measure import FOLDER, ROOT, Command, answer, interleaved, once
from report import Row, Section

MOST_MEMORY_MIB = 40.0
MOST_SHARE = 0.45


def measure(made: Installation, runs: int) -> Section:
    """Measure the whole run, and how much of it is waiting for HTTP answers."""
    argv = ["--provider", "host", "--cluster", CLUSTER]
    with tempfile.TemporaryDirectory(prefix="pyinfra-", dir=FOLDER) as folder:
        pyinfra = _pyinfra(made, Path(folder))
        once(pyinfra)
        both = interleaved({"noop": made.command(*argv), "pyinfra": pyinfra}, runs)
    taken, share = both["noop"], statistics.median(map(truediv, both["noop"].wall, both["pyinfra"].wall))
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
        Row(
            "`./create-cluster.sh`, everything done already",
            f"{taken.median * 1e3:.0f} ms",
            f"pyinfra: {both['pyinfra'].median * 1e3:.0f} ms, {share:.2f} x",
            f"≤ {MOST_SHARE} x",
            share <= MOST_SHARE,
        ),
        Row("of which waiting for the answers of HTTP checks", f"{waited * 1e3:.0f} ms"),
        Row("the program's own cost", f"{own * 1e3:.0f} ms", "wall time less that waiting"),
        Row("CPU time, children included", f"{statistics.median(taken.cpu) * 1e3:.0f} ms"),
        Row(
            "peak memory, the largest of all runs",
            f"{memory:.0f} MiB",
            "",
            f"≤ {MOST_MEMORY_MIB:.0f} MiB",
            memory <= MOST_MEMORY_MIB,
        ),
    ]
    note = (
        f"{runs} runs each, launcher included, on the `host` provider with a real metrics store. All six steps are\n"
        "checked, the run is recorded and sent to the store, and everything sent before is read back. Waiting is the\n"
        "time in which any thread waits in a socket call: what is made of the answers counts as the program's own.\n"
        "pyinfra runs `benchmarks/noop_pyinfra.py` by its local connector: the same six steps, asking the same store."
    )
    return Section("A run with nothing to do", rows, note)


def _pyinfra(made: Installation, folder: Path) -> Command:
    records = json.loads((made.home / "clusters" / CLUSTER / "install-state.json").read_text())
    (folder / "wanted.json").write_text("{}\n")
    deploy = str(ROOT / "benchmarks" / "noop_pyinfra.py")
    url = f"http://127.0.0.1:{records['settings']['ports']['mimir']}"
    argv = [sys.executable, "-S", "-m", "pyinfra", "-y", "@local", deploy]
    return Command(["sh", "-c", 'exec "$@" 2>/dev/null', "sh", *argv], {"FOLDER": str(folder), "URL": url})
