"""The status of a finished installation, what the launcher costs, and what else is asked at every turn."""

from __future__ import annotations

import statistics
import tempfile
from operator import sub, truediv

from finished import Installation
from measure import FOLDER, ROOT, Command, Runs, interleaved, once
from report import Row, Section

YARDSTICK = str(ROOT / "benchmarks" / "plan_functions.sh")
MOST_SHARE = 0.45
MOST_STARTS = 4.0
"""How many bare interpreters a command may take that only tells of itself."""
LAUNCHER_MOST_MS = 20.0

_DIRECT = """\
import sys
sys.pycache_prefix = {bytecode!r}
sys.path[:0] = [{source!r}, {runtime!r}]
from contextcore_install.__main__ import main
raise SystemExit(main(['--status']))
"""
"""The program started by its interpreter, without the launcher and what finds its runtime."""


def measure(made: Installation, runs: int) -> Section:
    """Measure the status beside bash and jq, and the launcher beside none."""
    with tempfile.TemporaryDirectory(prefix="plan-", dir=FOLDER) as folder:
        plan = {"HOME": folder}
        once(Command(["bash", YARDSTICK], plan))
        direct = _DIRECT.format(
            bytecode=str(made.home / "runtime" / "pycache"), source=str(ROOT / "src"), runtime=str(made.runtime)
        )
        taken = interleaved(
            {
                "status": made.command("--status"),
                "json": made.command("--status", "--output", "json"),
                "direct": Command([made.interpreter, "-I", "-S", "-c", direct], made.variables),
                "bare": Command([made.interpreter, "-I", "-S", "-c", ""]),
                "plan": Command(["bash", YARDSTICK, "--status"], plan),
                **{words: made.command(*words.split()) for words in _OF_ITSELF},
            },
            runs,
        )
    return _section(taken, runs)


def _section(taken: dict[str, Runs], runs: int) -> Section:
    launcher = statistics.median(map(sub, taken["status"].wall, taken["direct"].wall)) * 1e3
    rows = [_beside_plan(f"`./create-cluster.sh {flags}`", taken[name], taken["plan"]) for name, flags in _ASKED]
    rows += [
        Row(
            "the launcher: shell, interpreter found, runtime checked",
            f"{launcher:.0f} ms" if launcher >= 1 else "less than 1 ms",
            f"started directly: {_ms(taken['direct'])}",
            f"< {LAUNCHER_MOST_MS:.0f} ms",
            launcher < LAUNCHER_MOST_MS,
        ),
        *(_beside_bare(words, taken[words], taken["bare"]) for words in _OF_ITSELF),
        Row("for comparison: the interpreter alone, doing nothing", _ms(taken["bare"])),
    ]
    note = (
        f"{runs} runs each, whole processes, warm; ratios and differences are medians of the turns'. The yardstick\n"
        "is `benchmarks/plan_functions.sh`: the state kept by bash functions that call jq once for each of six steps."
    )
    return Section("The status of a finished installation", rows, note)


_ASKED = (("status", "--status"), ("json", "--status --output json"))
_OF_ITSELF = ("--help", "--version", "completion bash")


def _beside_plan(what: str, ours: Runs, plan: Runs) -> Row:
    share = statistics.median(map(truediv, ours.wall, plan.wall))
    return Row(what, _ms(ours), f"bash + jq: {_ms(plan)}, {share:.2f} x", f"≤ {MOST_SHARE} x", share <= MOST_SHARE)


def _beside_bare(words: str, ours: Runs, bare: Runs) -> Row:
    times = statistics.median(map(truediv, ours.wall, bare.wall))
    beside = f"the interpreter alone: {_ms(bare)}, {times:.1f} x"
    return Row(f"`./create-cluster.sh {words}`", _ms(ours), beside, f"≤ {MOST_STARTS:.0f} x", times <= MOST_STARTS)


def _ms(runs: Runs) -> str:
    return f"{runs.median * 1e3:.0f} ms"
