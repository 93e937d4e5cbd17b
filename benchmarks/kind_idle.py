"""A finished installation in a cluster of kind: what it costs to find nothing to do, and to wait."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from kind_registry import RATE, slow_registry
from measure import ROOT, Command, Runs, environment, interleaved, once

from contextcore_install.core.dataclass import dataclass

#: What a run looks at, asked for once.
KINDS = (
    "node,namespace,lease,endpoints,pod,persistentvolumeclaim,service,configmap,secret,serviceaccount,"
    "statefulset.v1.apps,deployment.v1.apps,daemonset.v1.apps"
)
#: Seconds until a stopped program counts as not ready, until a run waits for it, and for which it is watched then.
NOTICED_S, BEGUN_S, WATCHED_S = 15.0, 8.0, 25.0
POD, API = "config.file=/etc/loki/loki.yaml", "kube-apiserver --"
"""What the command lines contain of programs that are stopped in the node: a pod's, and the API server."""
SLOWER = 8  # times slower than in an installation: a pull lasts longer than it is watched


@dataclass(frozen=True)
class Idle:
    """Runs with nothing to do beside kubectl's; the kubectl processes of one, and of a repair.

    The rest are shares of a core that a run takes while it waits: for a pod, for a slow pull, and for the API.
    """

    again: Runs
    get: Runs
    looks: int
    looks_of_repair: int
    for_pod: float
    for_pull: float
    for_api: float


def measure(again: Command, context: str, images: Sequence[str], runs: int) -> Idle:
    """Measure with an installation that is finished, and that is of no use after it."""
    get = Command(["kubectl", "--context", context, "-n", "observability", "get", KINDS, "-o", "json"], again.variables)
    taken = interleaved({"again": again, "get": get}, runs)
    repair = Command([*again.argv, "--repair", "--yes"], again.variables)
    looks, looks_of_repair = (_kubectl_processes(command) for command in (again, repair))
    node = f"{context.removeprefix('kind-')}-control-plane"
    with _stopped(node, POD):
        for_pod = _cpu_of_waiting(again)
    with slow_registry(images, RATE / SLOWER) as (prefix, _):
        for_pull = _cpu_of_waiting(Command([*again.argv, "--registry", prefix], again.variables))
    with _stopped(node, API):
        for_api = _cpu_of_waiting(again)
    return Idle(taken["again"], taken["get"], looks, looks_of_repair, for_pod, for_pull, for_api)


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


@contextmanager
def _stopped(node: str, program: str) -> Iterator[None]:
    """Within the block, have a program in a node stand still, and be seen to."""
    signalling = ["docker", "exec", node, "pkill", "-f", program]
    subprocess.run([*signalling, "-STOP"], check=True)
    try:
        time.sleep(NOTICED_S)
        yield
    finally:
        subprocess.run([*signalling, "-CONT"], check=True)


def _cpu_of_waiting(command: Command) -> float:
    """Return the share of a core that a run takes, its children included, while it waits."""
    with subprocess.Popen(
        command.argv,
        cwd=ROOT,
        env=environment(command.variables),
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


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, of its children that have ended, and of those that run."""
    process, total = psutil.Process(pid), 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += sum(each.cpu_times()[:4])
    return total
