"""Scripts read and write the state: by the command, and by the bash functions over it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from kit.installation import Installation, kill, read_until
from kit.stores import TIMEOUTS, wait_until

ROOT = Path(__file__).resolve().parents[2]

SKELETON = """\
set -u
source "$FUNCTIONS"
init_state
RESUME_MODE=${RESUME_MODE:-false}

preflight_checks() { echo "preflight at work"; }
create_cluster() { echo "cluster at work"; }
apply_manifests() { echo "manifests at work"; return "${FAIL:-0}"; }

run_step "preflight" preflight_checks || exit 1
if should_skip_step "cluster_create"; then
    echo "Skipping cluster creation (already completed)"
else
    set_step_status "cluster_create" "in_progress"
    if create_cluster; then
        set_step_status "cluster_create" "completed"
    else
        set_step_status "cluster_create" "failed"
        exit 1
    fi
fi
run_step "manifests_apply" apply_manifests || exit 1
"""
"""How the plan's own create-cluster.sh uses the functions."""


@pytest.fixture
def functions(installation: Installation) -> Path:
    """Return the bash functions beside the program that this installation is made with."""
    installation.command()
    scripts = installation.folder / "scripts"
    scripts.mkdir()
    shutil.copy(ROOT / "scripts" / "install-state.sh", scripts)
    launcher = installation.folder / "create-cluster.sh"
    program = launcher.rename(installation.folder / "program.py")
    launcher.write_text(f'#!/bin/sh\nexec {installation.command()[0]} "{program}" "$@"\n')
    launcher.chmod(0o755)
    return scripts / "install-state.sh"


def bashes() -> list[str]:
    """Return each bash of this machine: macOS' own is 3.2. CONTEXTCORE_TEST_BASH names one more, by its path."""
    places = (shutil.which("bash"), "/bin/bash", os.environ.get("CONTEXTCORE_TEST_BASH"))
    return list(dict.fromkeys(str(Path(place).resolve()) for place in places if place and Path(place).exists()))


def script(installation: Installation, functions: Path, bash: str, **environ: str) -> subprocess.CompletedProcess[str]:
    changes = {"FUNCTIONS": str(functions), "CLUSTER_NAME": "test", **environ}
    return subprocess.run(
        [bash, "-c", SKELETON],
        env=installation.environ(changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("bash", bashes())
def test_the_plans_own_script_is_tracked_and_resumed(installation: Installation, functions: Path, bash: str) -> None:
    failed = script(installation, functions, bash, FAIL="7")
    assert failed.returncode == 1, failed.stderr
    assert not failed.stderr
    steps = json.loads(installation.state.read_text())["steps"]
    assert steps["cluster_create"]["status"] == "completed"
    assert steps["cluster_create"]["attempts"] == 1
    assert steps["manifests_apply"]["status"] == "failed"
    assert steps["pods_ready"]["status"] == "pending"

    resumed = script(installation, functions, bash, RESUME_MODE="true")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines() == [
        "preflight: completed before, skipped",
        "Skipping cluster creation (already completed)",
        "manifests at work",
    ]
    steps = json.loads(installation.state.read_text())["steps"]
    assert steps["manifests_apply"]["attempts"] == 2
    assert "error" not in steps["manifests_apply"]


def test_what_a_script_says_reaches_the_metrics_store(installation: Installation) -> None:
    assert installation.install().returncode == 0
    said = installation.run("state", "set", "pods_ready", "failed", "--output", "json")
    assert said.returncode == 0, said.stderr
    assert installation.run("state", "get", "pods_ready").stdout == "failed\n"
    assert installation.steps()["pods_ready"]["error"]["code"] == "script"
    client = Client(f"http://127.0.0.1:{installation.ports['mimir']}", lambda: TIMEOUTS)
    backend = probe(client)
    asked = 'last_over_time(contextcore_install_step_status{step="pods_ready"}[1h])'
    wait_until(
        lambda: [found["value"][1] for found in backend.query(asked, int(time.time() * 1000) + 2000)] == ["3"],
        "the failed step in the metrics store",
    )
    client.close()
    resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert installation.steps()["pods_ready"]["status"] == "completed"


def test_a_script_waits_for_no_run_and_disturbs_none(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    refused = stuck.run("state", "set", "pods_ready", "completed")
    assert refused.returncode == 5
    assert stuck.run("state", "get", "pods_ready").stdout == "in_progress\n"
    kill(running)


@pytest.mark.parametrize(
    "words",
    [
        ("set", "pods_ready"),
        ("set", "pods_ready", "half"),
        ("get", "pods"),
        ("get", "pods_ready", "failed"),
        ("send", "pods_ready"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(installation: Installation, words: tuple[str, ...]) -> None:
    refused = installation.run("state", *words)
    assert refused.returncode == 2
    assert not installation.files.exists()
