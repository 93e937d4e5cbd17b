"""What is printed is pasted into a shell, in the situation in which it was printed, and does what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.installation import LAUNCHER, Installation, end
from kit.stores import wait_until

SURROUNDINGS = ("PATH", "HOME", "PYTHONPATH")
"""The variables of a new shell; none of those that the printing invocation was given."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose program can be typed, in a folder whose name wants quotes."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    script = folder / "create-cluster.sh"
    script.write_text(f"#!{sys.executable}\n{LAUNCHER}")
    script.chmod(0o755)
    made = Installation(folder)
    yield made
    made.remove()


def paste(place: Installation, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody does who pastes it into a new shell elsewhere."""
    surroundings = {name: text for name, text in place.environ().items() if name in SURROUNDINGS}
    return subprocess.run(
        ["sh", "-c", command], env=surroundings, cwd="/", capture_output=True, text=True, timeout=240, check=False
    )


def test_what_a_plan_ends_with_carries_out_that_plan(place: Installation) -> None:
    planned = place.run("plan", "--provider", "host", *place.port_flags())
    command = planned.stdout.splitlines()[-1].removeprefix("Next  ").partition("  ")[0]
    done = paste(place, command)
    assert done.returncode == 0, command + done.stdout + done.stderr
    settings = json.loads(place.state.read_text())["settings"]
    assert (settings["provider"], settings["ports"]["mimir"]) == ("host", place.ports["mimir"])
    again = place.run("plan", "--detailed-exitcode")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].startswith("Next  ")


def test_another_program_in_the_place_of_the_store_is_evaded_by_one_command(place: Installation) -> None:
    assert place.install().returncode == 0
    port = place.ports["mimir"]
    for process in place.processes():
        end(process)
    thief = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=place.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _takes_connections(port), "nobody listens")
        failed = place.run("--resume", "--output", "json")
        assert failed.returncode != 0
        commands = [error["hint"] for error in _errors(failed.stdout) if "--port" in error.get("hint", "")]
        assert commands, failed.stdout
        done = paste(place, commands[0])
        assert done.returncode == 0, commands[0] + done.stdout + done.stderr
        assert place.status()["overall"] == "complete"
    finally:
        os.kill(thief.pid, signal.SIGKILL)
        thief.wait()


def test_what_is_recorded_can_be_pasted_too(place: Installation) -> None:
    alone = {"PATH": "/usr/bin:/bin"}
    failed = place.run("--provider", "host", *place.port_flags(), environ=alone)
    assert failed.returncode == 3, failed.stdout + failed.stderr
    hint = json.loads(place.state.read_text())["steps"]["preflight"]["error"]["hint"]
    done = paste(place, hint)
    assert done.returncode == 0, hint + done.stdout + done.stderr
    settings = json.loads(place.state.read_text())["settings"]
    assert (settings["provider"], settings["ports"]["mimir"]) == ("host", place.ports["mimir"])


def test_a_plan_says_by_its_exit_code_whether_a_run_is_due(place: Installation) -> None:
    flags = ("--provider", "host", *place.port_flags())
    assert place.run("plan", *flags).returncode == 0
    assert place.run("plan", "--detailed-exitcode", *flags).returncode == 2
    alone = {"PATH": "/usr/bin:/bin"}
    assert place.run("plan", "--detailed-exitcode", *flags, environ=alone).returncode == 1
    refused = place.run("plan", "--detailed-exitcode", "--provider", "host", "--pull", "never")
    assert (refused.returncode, "cannot be combined" in refused.stderr) == (1, True)


def _errors(lines: str) -> list[dict[str, str]]:
    return [event["error"] for event in map(json.loads, lines.splitlines()) if event.get("error")]


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
