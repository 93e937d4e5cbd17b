"""A real installation taken back: the machine is as it was, the data is kept, and it can be cut off anywhere."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil

from kit.installation import Installation, kill, read_until
from kit.telemetry_world import ForeignSamples


def machine(place: Installation) -> dict[str, set[str]]:
    """Return what an installation could leave on this machine, outside of its own home."""
    outside = {str(path) for path in place.folder.rglob("*") if place.home not in (path, *path.parents)}
    started = {
        str(process.pid)
        for process in psutil.process_iter(["environ", "cmdline"])
        if str(place.home) in " ".join([*(process.info["environ"] or {}).values(), *(process.info["cmdline"] or [])])
        and process.pid != os.getpid()
    }
    return {"files": outside, "processes": started, "ports": {str(n) for n in place.ports.values() if listens(n)}}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def statuses(place: Installation) -> set[str]:
    return {step["status"] for step in place.steps().values()}


def test_a_complete_rollback_leaves_the_machine_as_it_was_and_keeps_the_data(installation: Installation) -> None:
    installation.command()  # makes the launcher
    before = machine(installation)
    assert installation.install().returncode == 0
    assert machine(installation) != before
    ForeignSamples(installation).write(5.0)

    refused = installation.run("rollback")
    assert refused.returncode == 2
    assert "nobody agreed" in refused.stderr
    done = installation.run("rollback", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data stays" in done.stdout
    assert machine(installation) == before
    assert statuses(installation) == {"pending"}
    again = installation.run("rollback", "--yes")
    assert (again.returncode, "nothing to undo" in again.stdout) == (0, True)

    resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert ForeignSamples(installation).values() == [5.0]


def test_a_rollback_stops_at_the_step_that_is_to_stay(installation: Installation) -> None:
    assert installation.install().returncode == 0
    done = installation.run("rollback", "--to", "manifests_apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(installation.processes()) == 1, "what runs belongs to the step that stays"
    found = {step_id: step["status"] for step_id, step in installation.steps().items()}
    assert [name for name, status in found.items() if status == "completed"] == [
        "preflight",
        "cluster_create",
        "manifests_apply",
    ]


def test_a_rollback_that_is_killed_is_carried_on(installation: Installation) -> None:
    assert installation.install().returncode == 0
    running = installation.start("rollback", "--yes")
    read_until(running, "step_undo_started", "manifests_apply")
    kill(running)
    assert "completed" in statuses(installation)
    done = installation.run("rollback", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(installation) == {"pending"}
    end = time.monotonic() + 120
    while installation.processes():
        assert time.monotonic() < end
    assert not list((Path(installation.files) / "host" / "config").glob("*"))
