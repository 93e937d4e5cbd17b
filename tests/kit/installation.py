"""A real installation in a temporary home: the program as a process, its stores, and ways to end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.system.machine import start_time
from kit.stores import free_ports, program, wait_until

STUCK = """\
#!/bin/sh
case "$*" in *-version*) echo victoria-metrics-20250101-000000-v1.112.0; exit 0;; esac
exec sleep 300
"""

LAUNCHER = """\
import sys
from contextcore_install.__main__ import main
raise SystemExit(main())
"""


@dataclass
class Installation:
    """One CONTEXTCORE_HOME with one cluster `test` on free ports; `path` comes before the usual PATH."""

    folder: Path
    cluster: str = "test"
    path: tuple[str, ...] = ()
    ports: dict[str, int] = field(default_factory=lambda: dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def files(self) -> Path:
        return self.home / "clusters" / self.cluster

    @property
    def state(self) -> Path:
        return self.files / "install-state.json"

    def command(self, *arguments: str) -> list[str]:
        script = self.folder / "create-cluster.sh"
        if not script.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            script.write_text(LAUNCHER)
        return [sys.executable, "-S", str(script), *arguments]  # as create-cluster.sh does

    def environ(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        store = str(Path(program("victoria-metrics")).parent)
        search = os.pathsep.join([*self.path, store, "/usr/bin", "/bin"])
        base = {
            "PATH": search,
            "HOME": str(self.folder),
            "CONTEXTCORE_HOME": str(self.home),
            "CONTEXTCORE_CLUSTER": self.cluster,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        return base | dict(changes or {})

    def run(
        self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environ(environ),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program and leave it running, its events on standard output."""
        return subprocess.Popen(
            self.command(*arguments, "--output", "json"),
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def install(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run("--provider", "host", *self.port_flags(), *more)

    def port_flags(self) -> list[str]:
        return [word for name, port in self.ports.items() for word in ("--port", f"{name}={port}")]

    def status(self) -> dict[str, Any]:
        answer = self.run("--status", "--output", "json")
        assert answer.returncode == 0, answer.stderr
        document: dict[str, Any] = json.loads(answer.stdout)
        return document

    def state_document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.state.read_text())
        return document

    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["id"]: step for step in self.status()["steps"]}

    def attempts(self) -> dict[str, int]:
        return {step_id: step["attempts"] for step_id, step in self.steps().items()}

    def processes(self) -> list[psutil.Process]:
        """Return the processes that this installation left running."""
        mark = str(self.files)
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(mark in word for word in process.info["cmdline"] or [])
        ]

    def remove(self) -> None:
        """End them, and wait until they let go of their files."""
        for process in self.processes():
            end(process)


def lives(pid: int) -> bool:
    """Say whether a process runs; where nobody takes zombies away, the number of a dead one stays."""
    return start_time(pid) is not None


def end(process: psutil.Process) -> None:
    """Kill a process that is no child of this one, and wait until it runs no longer."""
    process.kill()
    wait_until(lambda: not lives(process.pid), f"{process} lives on")


def read_until(process: subprocess.Popen[str], kind: str, step: str = "") -> dict[str, Any]:
    """Read events until one of a kind (of a step) comes, and return it."""
    assert process.stdout
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event.get("kind") == kind and (not step or event.get("step") == step):
            return event
    stderr = process.stderr.read() if process.stderr else ""
    raise AssertionError(f"the run ended without {kind} {step}: {stderr}")


def kill(process: subprocess.Popen[Any]) -> None:
    """End a run as `kill -9` does."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Return a place for an installation; what it starts is ended with the test."""
    place = Installation(tmp_path)
    yield place
    place.remove()


@pytest.fixture
def stuck(installation: Installation) -> Installation:
    """Return an installation whose metrics store never becomes ready."""
    programs = installation.folder / "programs"
    programs.mkdir()
    (programs / "victoria-metrics").write_text(STUCK)
    (programs / "victoria-metrics").chmod(0o755)
    installation.path = (str(programs),)
    return installation
