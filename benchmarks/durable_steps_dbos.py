"""Runs one DBOS workflow of trivial steps on SQLite and prints how many seconds it took. Argument: how many steps."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from dbos import DBOS

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"


@DBOS.step()
def step(number: int) -> int:
    return number


@DBOS.workflow()
def workflow(count: int) -> int:
    return sum(step(number) for number in range(count))


def seconds(count: int, folder: str) -> float:
    """Return what the workflow took, without DBOS's own start."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    workflow(1)
    began = time.perf_counter()
    workflow(count)
    took = time.perf_counter() - began
    DBOS.destroy()
    return took


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dbos-", dir=FOLDER) as scratch:
        print(seconds(int(sys.argv[1]), scratch))
