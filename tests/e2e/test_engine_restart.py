"""The container engine restarted under an installation: asked for, as whatever else it runs is restarted too."""

from __future__ import annotations

import os
import shlex

import pytest

from contextcore_install.engine.names import STEP_IDS
from e2e.lab import ClusterInstallation, ask, node_states, state_of
from kit.installation import kill, read_until
from kit.stores import wait_until

pytestmark = pytest.mark.skipif(
    os.environ.get("E2E_RESTART_ENGINE") != "1", reason="restarts the container engine: E2E_RESTART_ENGINE=1"
)


def restart_engine() -> None:
    """Restart it with the command of this machine."""
    ask(*shlex.split(os.environ.get("E2E_RESTART_COMMAND", "sudo systemctl restart docker")), limit_s=120)


def test_an_installation_survives_it(installed: ClusterInstallation) -> None:
    before = installed.identity(), installed.volumes(), installed.written()
    restart_engine()
    installed.must("--resume")
    installed.must("verify")
    assert (installed.identity(), installed.volumes(), installed.written()) == before


@pytest.mark.parametrize("step", ["manifests_apply", "pods_ready"])
def test_a_run_killed_by_it_is_carried_on(installed: ClusterInstallation, step: str) -> None:
    before = installed.identity(), installed.volumes(), installed.written()
    installed.kubectl("delete", "statefulset", "loki")
    running = installed.start("--resume")
    read_until(running, "step_started", step)
    kill(running)
    restart_engine()
    installed.must("--resume")
    assert state_of(installed) == dict.fromkeys(STEP_IDS, "completed")
    assert (installed.identity(), installed.volumes(), installed.written()) == before


def test_a_creation_cut_off_by_it_is_carried_on(alone: ClusterInstallation) -> None:
    running = alone.start(*alone.flags())
    read_until(running, "step_started", "cluster_create")
    wait_until(lambda: "running" in node_states(alone.cluster).values(), "no node comes", limit_s=90)
    restart_engine()
    running.communicate(timeout=600)
    alone.must("--resume")
    assert state_of(alone) == dict.fromkeys(STEP_IDS, "completed")
