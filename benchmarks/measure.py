"""Timing whole processes, side by side."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "benchmarks"
"""Where everything measured is written: a disk, where a temporary folder may be memory."""


@dataclass(frozen=True)
class Command:
    """What is run, and the variables it gets besides ours."""

    argv: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Runs:
    """What the runs of one command took: seconds, seconds of CPU, and bytes of memory at most."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median wall time in seconds."""
        return statistics.median(self.wall)


def interleaved(commands: Mapping[str, Command], runs: int, warm: int = 2) -> dict[str, Runs]:
    """Run every command `runs` times, in turns, so that a busy moment meets them all; warm runs do not count."""
    taken = {name: Runs() for name in commands}
    for turn in range(-warm, runs):
        for name, command in commands.items():
            wall, cpu, memory = once(command)
            if turn >= 0:
                taken[name].wall.append(wall)
                taken[name].cpu.append(cpu)
                taken[name].memory.append(memory)
    return taken


def once(command: Command) -> tuple[float, float, int]:
    """Run a command and return its wall time, its CPU time and its peak memory; it must succeed."""
    began = time.perf_counter()
    with subprocess.Popen(
        command.argv, cwd=ROOT, env=environment(command.variables), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command.argv)}: exit code {process.returncode}")
    unit = 1 if os.uname().sysname == "Darwin" else 1024  # man 2 getrusage: bytes there, kilobytes elsewhere
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def answer(command: Command) -> str:
    """Run a command that must succeed and return the last line that it prints."""
    done = subprocess.run(
        command.argv,
        cwd=ROOT,
        env=environment(command.variables),
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip().splitlines()[-1]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables and these, without what chooses an installation by itself.

    Bytecode is kept between processes, as the launcher keeps it: without it, most of what is measured is compiling.
    """
    left_out = {"CONTEXTCORE_HOME", "CONTEXTCORE_CLUSTER", "CLUSTER_NAME", "K8S_MANIFESTS"}
    left_out.add("PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in left_out} | dict(variables)
