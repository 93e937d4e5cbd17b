"""A finished installation in a cluster of kind: what it costs to find nothing to do, and to wait for a pod."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
from measure import ROOT, Command, Runs, environment, interleaved, once

from contextcore_install.core.dataclass import dataclass

#: What a run looks at, asked for once.
KINDS = (
    "node,namespace,lease,endpoints,pod,persistentvolumeclaim,service,configmap,secret,serviceaccount,"
    "statefulset.v1.apps,deployment.v1.apps,daemonset.v1.apps"
)
#: Seconds until a stopped program counts as not ready, until a run waits for it, and for which it is watched then.
NOTICED_S, BEGUN_S, WATCHED_S = 15.0, 8.0, 25.0
STOPPED = "config.file=/etc/loki/loki.yaml"
"""What the command line of the program contains that is stopped in its pod: any image has it."""


@dataclass(frozen=True)
class Idle:
    """Runs with nothing to do beside kubectl's; the kubectl processes of one, and of a repair; CPU of waiting."""

    again: Runs
    get: Runs
    looks: int
    looks_of_repair: int
    share_of_core: float


def measure(again: Command, context: str, runs: int) -> Idle:
    """Measure with an installation that is finished, and leave it so."""
    get = Command(["kubectl", "--context", context, "-n", "observability", "get", KINDS, "-o", "json"], again.variables)
    taken = interleaved({"again": again, "get": get}, runs)
    repair = Command([*again.argv, "--repair", "--yes"], again.variables)
    looks, looks_of_repair = (_kubectl_processes(command) for command in (again, repair))
    return Idle(taken["again"], taken["get"], looks, looks_of_repair, _cpu_of_waiting(again, context))


def _kubectl_processes(command: Command) -> int:
    """Return how many kubectl processes a run starts, by one on PATH that counts."""
    folder = Path(command.variables["KUBECONFIG"]).parent / "counting"
    folder.mkdir(exist_ok=True)
    count, program = folder / "count", folder / "kubectl"
    program.write_text(f'#!/bin/sh\necho >>"{count}"\nexec "{shutil.which("kubectl")}" "$@"\n')
    program.chmod(0o755)
    counted = Command(command.argv, {**command.variables, "PATH": f"{folder}:{os.environ['PATH']}"})
    once(counted)  # this kubectl is asked for its version once
    count.write_text("")
    once(counted)
    return len(count.read_text().splitlines())


def _cpu_of_waiting(again: Command, context: str) -> float:
    """Return the share of a core that a run takes, its children included, while a pod does not become ready."""
    node = f"{context.removeprefix('kind-')}-control-plane"
    subprocess.run(["docker", "exec", node, "pkill", "-STOP", "-f", STOPPED], check=True)
    try:
        time.sleep(NOTICED_S)
        with subprocess.Popen(
            again.argv,
            cwd=ROOT,
            env=environment(again.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(BEGUN_S)
            before = _cpu_s(process.pid)
            time.sleep(WATCHED_S)
            share = (_cpu_s(process.pid) - before) / WATCHED_S
            assert process.poll() is None, "it does not wait"
            process.send_signal(signal.SIGINT)
        return share
    finally:
        subprocess.run(["docker", "exec", node, "pkill", "-CONT", "-f", STOPPED], check=True)


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, of its children that have ended, and of those that run."""
    process, total = psutil.Process(pid), 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += sum(each.cpu_times()[:4])
    return total
