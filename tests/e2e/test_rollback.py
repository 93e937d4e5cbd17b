"""A whole cluster taken back and brought back: the machine is as it was, and the data is in a backup."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from e2e.lab import ON_DISK_S, ClusterInstallation, ask, engine, node_states, state_of


def machine(place: ClusterInstallation) -> dict[str, set[str]]:
    """Return what an installation could leave on this machine, outside of its own home."""
    context = ask("kubectl", "config", "get-contexts", "-o", "name", environ=place.environ())
    mark = str(place.home)
    return {
        "containers": set(node_states(place.cluster)),
        "networks": set(ask(engine(), "network", "ls", "--format", "{{.Name}}").split()),
        "contexts": set(context.split()),
        "files": {str(path) for path in place.folder.rglob("*") if place.home not in (path, *path.parents)},
        "processes": {
            str(process.pid)
            for process in psutil.process_iter(["cmdline"])
            if any(mark in word for word in process.info["cmdline"] or []) and process.pid != os.getpid()
        },
    }


@pytest.mark.thorough
def test_a_complete_rollback_takes_everything_back_and_keeps_the_data(installed: ClusterInstallation) -> None:
    before = machine(installed)
    written = installed.written()
    time.sleep(ON_DISK_S)
    done = installed.run("rollback", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = machine(installed)
    assert before["containers"] == {f"{installed.cluster}-control-plane"}
    assert after["containers"] == set()
    assert after["contexts"] == before["contexts"] - {installed.context}
    assert after["networks"] <= before["networks"]
    assert (after["files"], after["processes"]) == (before["files"], before["processes"])
    assert set(state_of(installed).values()) == {"pending"}
    kept = sorted((installed.files / "backups").glob("*before-rollback*.tar.gz"))
    assert len(kept) == 1

    restored = installed.run("restore", str(kept[0]), "--yes", "--cluster", installed.cluster)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert installed.written() == written


def test_a_backup_of_a_running_cluster_restarts_nothing(installed: ClusterInstallation, tmp_path: Path) -> None:
    pods = installed.uids("pods")
    made = installed.run("backup", "-o", str(tmp_path / "kept.tar.gz"), "--output", "json")
    assert made.returncode == 0, made.stderr
    names = {volume["name"] for volume in json.loads(made.stdout)["volumes"]}
    assert {"data-mimir-0", "data-grafana-0", "grafana-admin"} <= names
    assert installed.uids("pods") == pods
    assert installed.run("verify").returncode == 0
