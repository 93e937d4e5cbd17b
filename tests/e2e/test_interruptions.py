"""`kill -9` in every step, and `--resume`: the same cluster, the same volumes, the data still there."""

from __future__ import annotations

import subprocess
from typing import Any

import psutil
import pytest

from contextcore_install.engine.names import STEP_IDS
from e2e.lab import ClusterInstallation, node_states, state_of
from kit.installation import kill, read_until
from kit.stores import wait_until


def test_a_first_installation_killed_in_every_step_ends_with_a_stack_that_works(alone: ClusterInstallation) -> None:
    killed(alone, *alone.flags(), until=[("step_checking", "preflight")])
    leave_half_a_cluster(alone)
    half = dict(node_states(alone.cluster))
    assert alone.status()["overall"] == "interrupted"
    leave_kind_at_work(alone)
    resumed = killed(
        alone, "--resume", until=[("step_completed", "cluster_create"), ("step_started", "manifests_apply")]
    )
    assert half
    assert resumed, "the creation that went on without us was not waited for"
    identity = alone.identity()
    killed(alone, "--resume", until=[("step_started", "pods_ready")])
    killed(alone, "--resume", until=[("step_completed", "pods_ready"), ("step_checking", "services_verify")])
    volumes = alone.volumes()
    alone.write(2.0)
    killed(alone, "--resume", until=[("step_checking", "metrics_seed")])
    alone.must("--resume")
    assert state_of(alone) == dict.fromkeys(STEP_IDS, "completed")
    assert (alone.identity(), alone.volumes(), alone.written()) == (identity, volumes, [2.0])
    alone.must("verify")


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        pytest.param("step_started", "manifests_apply", marks=pytest.mark.thorough),
        ("step_started", "pods_ready"),
        pytest.param("step_checking", "services_verify", marks=pytest.mark.thorough),
        pytest.param("step_checking", "metrics_seed", marks=pytest.mark.thorough),
    ],
)
def test_a_run_over_an_installation_killed_in_a_step_is_carried_on(
    installed: ClusterInstallation, kind: str, step: str
) -> None:
    before = installed.identity(), installed.volumes(), installed.written()
    installed.kubectl("delete", "statefulset", "loki")
    killed(installed, "--resume", until=[(kind, step)])
    installed.must("--resume")
    assert state_of(installed) == dict.fromkeys(STEP_IDS, "completed")
    assert (installed.identity(), installed.volumes(), installed.written()) == before


def killed(installation: ClusterInstallation, *arguments: str, until: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Start a run, end it as `kill -9` does when its last event has come, and return these events."""
    running = installation.start(*arguments)
    events = [read_until(running, kind, step) for kind, step in until]
    kill(running)
    return events


def leave_half_a_cluster(installation: ClusterInstallation) -> None:
    """End a run and its kind together, as a power cut does, with a node made and no Kubernetes in it."""
    running = installation.start("--resume")
    creation_under_way(installation, running)
    children = psutil.Process(running.pid).children(recursive=True)
    for process in children:
        process.kill()
    kill(running)


def leave_kind_at_work(installation: ClusterInstallation) -> None:
    """End a run alone: its kind goes on without it."""
    running = installation.start("--resume")
    creation_under_way(installation, running)
    kill(running)


def creation_under_way(installation: ClusterInstallation, running: subprocess.Popen[str]) -> None:
    while read_until(running, "part_started", "cluster_create")["part"] != "cluster":
        pass
    wait_until(lambda: "running" in node_states(installation.cluster).values(), "no node comes", limit_s=90)
