"""An installation watched from outside: when its pods were ready, when it saw that, and what it cost."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import psutil
from measure import ROOT, Command, environment

from contextcore_install.core.dataclass import dataclass

STEP = "pods_ready"
#: Seconds between two looks at the CPU time of the program.
LOOK_S = 0.1


@dataclass(frozen=True)
class Watched:
    """Seconds: the whole run, CPU of the program without its children, and from the last Ready to the step's end."""

    wall: float
    cpu: float
    late: float


class Pods:
    """The moment since which all pods of the stack are ready, as kubectl's watch tells it."""

    def __init__(self, context: str, variables: dict[str, str], wanted: int) -> None:
        look = '{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}'
        argv = ["kubectl", "--context", context, "-n", "observability", "get", "pods", "--watch"]
        self._process = subprocess.Popen(
            [*argv, "-o", f"jsonpath={look}"],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._wanted = wanted
        self.ready_at = 0.0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        ready: set[str] = set()
        assert self._process.stdout
        for line in self._process.stdout:
            name, _, status = line.strip().partition(" ")
            (ready.add if status == "True" else ready.discard)(name)
            if len(ready) == self._wanted and not self.ready_at:
                self.ready_at = time.monotonic()

    def close(self) -> None:
        """End the watch."""
        self._process.kill()
        self._process.wait()


def watched(command: Command, context: str, pods_wanted: int = 5) -> Watched:
    """Run an installation with --output json; it must succeed."""
    variables = environment(dict(command.variables))
    began, done_at, pods = time.monotonic(), 0.0, None
    with subprocess.Popen(
        command.argv, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        cpu = _Cpu(process.pid)
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            event = json.loads(line)
            if event.get("step") == STEP and event["kind"] == "step_started" and pods is None:
                pods = Pods(context, variables, pods_wanted)
            if event.get("step") == STEP and event["kind"] == "step_completed":
                done_at = time.monotonic()
        process.wait()
        wall = time.monotonic() - began
    if pods:
        pods.close()
    if process.returncode or pods is None or not pods.ready_at:
        raise SystemExit(f"{command.argv}: exit code {process.returncode}\n{''.join(lines[-20:])}")
    return Watched(wall, cpu.seconds, max(0.0, done_at - pods.ready_at))


class _Cpu:
    """The CPU time of a process as it was last seen."""

    def __init__(self, pid: int) -> None:
        self.seconds = 0.0
        self._process = psutil.Process(pid)
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            try:
                times = self._process.cpu_times()
            except psutil.Error:
                return
            self.seconds = max(self.seconds, times.user + times.system)
            time.sleep(LOOK_S)
