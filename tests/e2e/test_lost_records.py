"""The whole home is lost, and the cluster lives: it is known again by its mark, its ports and its metrics store."""

from __future__ import annotations

import base64
import json
import shutil

import pytest

from contextcore_install.engine.names import STEP_IDS
from e2e.lab import ClusterInstallation, state_of
from kit.stores import wait_until

TOLD = ("status", "attempts", "started_at", "completed_at", "duration_seconds")


def told(installation: ClusterInstallation) -> dict[str, list[object]]:
    return {step: [known[name] for name in TOLD] for step, known in installation.steps().items()}


@pytest.mark.thorough
def test_an_installation_whose_home_and_copy_are_lost_is_known_again(alone: ClusterInstallation) -> None:
    alone.must(*alone.flags())
    alone.must("--resume")  # sends what the end of the first run had no time for, and reads all of it back
    before, ports = told(alone), alone.status()["settings"]["ports"]
    shutil.rmtree(alone.home)
    alone.kubectl("delete", "configmap", "contextcore-install-state")

    def rebuilt() -> bool:  # within a few seconds, which a machine that is busy elsewhere may not keep
        return "rebuilt from the metrics store's samples" in alone.run("--status").stderr

    wait_until(rebuilt, "the state was not rebuilt", limit_s=120)
    wait_until(lambda: told(alone) == before, "the state that was rebuilt is another", limit_s=120)
    # The container shows the ports that lead into the cluster, and of these the unusual ones are noted.
    assert ports | alone.status()["settings"]["ports"] == ports

    resumed = alone.must("--resume")
    assert "rebuilt from the metrics store's samples" in resumed
    assert state_of(alone) == dict.fromkeys(STEP_IDS, "completed")
    assert {step: known[:2] for step, known in told(alone).items() if step not in REPEATED} == {
        step: known[:2] for step, known in before.items() if step not in REPEATED
    }


REPEATED = {"cluster_create"}
"""Its note of whose cluster it is was lost with the home; writing it again is an attempt."""


@pytest.mark.thorough
def test_grafana_reads_the_contact_points_that_were_set(installed: ClusterInstallation) -> None:
    def pod() -> str:
        return installed.kubectl("get", "pod", "grafana-0", "-o", "jsonpath={.metadata.uid}")

    def text_of_secret() -> str:
        secret = json.loads(installed.kubectl("get", "secret", "grafana-contact-points", "-o", "json"))
        return base64.b64decode(secret["data"]["contact-points.yaml"]).decode()

    before = pod()
    assert installed.run("notify", "set", stdin="https://127.0.0.1:9/s3cr3t-m4rk").returncode == 0
    try:
        installed.must("--resume")
        assert "https://127.0.0.1:9/s3cr3t-m4rk" in text_of_secret()
        wait_until(lambda: pod() != before, "Grafana was not started anew", limit_s=60)
        holding = [
            path.name
            for path in installed.home.rglob("*")
            if path.is_file() and not path.is_symlink() and b"s3cr3t-m4rk" in path.read_bytes()
        ]
        assert holding == ["notify.json"]
    finally:
        installed.run("notify", "clear")
    installed.must("--resume")
    assert "s3cr3t-m4rk" not in text_of_secret()
    assert json.loads(text_of_secret())["resetPolicies"] == [1]
    installed.must("--resume")
    assert "grafana-contact-points" not in installed.kubectl("get", "secrets", "-o", "name")
