"""`kill -9` at random moments of a real installation: the next run carries on, and nothing is lost or repeated.

A failure prints its seed; CHAOS_SEED replays it, CHAOS_ROUNDS asks for more than the few that every test run makes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from chaos.conftest import Tried
from kit.installation import Installation, kill

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "6"))
LONGEST_S = 1.6
"""A little more than an installation takes from its start to its end."""


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_killed_at_any_moment_is_carried_on(tmp_path: Path, number: int, tried: Tried) -> None:
    draw = random.Random(SEED + number)
    installation = Installation(tmp_path)
    told = f"CHAOS_SEED={SEED}, round {number}"
    applied: dict[str, int] = {}
    try:
        for _ in range(draw.randint(1, 3)):
            moment_s = draw.uniform(0.05, LONGEST_S)
            killed_after(installation, moment_s)
            applied = completed(installation, applied, told)
        resumed = installation.run("--resume", "--provider", "host", *installation.port_flags())
        assert resumed.returncode == 0, f"{told}: {resumed.stdout}{resumed.stderr}"
        completed(installation, applied, told)
        check_files(installation, told)
        tried("a real installation, killed up to three times in a row", 1)
    finally:
        installation.remove()


def killed_after(installation: Installation, seconds: float) -> None:
    running = subprocess.Popen(
        installation.command("--resume", "--provider", "host", *installation.port_flags()),
        env=installation.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    kill(running)


def completed(installation: Installation, before: dict[str, int], told: str) -> dict[str, int]:
    """Return the attempts of the completed steps; those that were completed before have no more than then."""
    steps = installation.steps()
    now = {name: step["attempts"] for name, step in steps.items() if step["status"] == "completed"}
    for name, attempts in before.items():
        assert now.get(name) == attempts, f"{told}: {name} was completed after {attempts} attempts, now {steps[name]}"
    return now


def check_files(installation: Installation, told: str) -> None:
    lines = (installation.files / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1)), told
    times = [event["at"] for event in events]
    assert times == sorted(times), told
    assert len(installation.processes()) == 1, told
    names = {path.name for path in installation.files.iterdir()}
    assert names <= {"install-state.json", "journal.jsonl", "lock", "cursors.json", "logs", "host"}, told
