"""verify on a real installation: what it finds, what it records, and what it leaves as it is."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from kit.installation import Installation, end, kill, read_until
from kit.stores import TIMEOUTS, wait_until


def verify(installation: Installation) -> tuple[int, dict[str, Any]]:
    done = installation.run("verify", "--output", "json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def unmet(document: dict[str, Any]) -> set[str]:
    return {item["id"] for item in document["requirements"] if item["status"] == "unmet"}


def history(installation: Installation) -> list[tuple[str, str | None]]:
    runs = json.loads(installation.run("history", "--output", "json").stdout)["runs"]
    return [(run["mode"], run["outcome"]) for run in runs]


def in_store(installation: Installation, metric: str) -> dict[str, float]:
    """Return the newest value of each series of a metric, by its label `requirement`."""
    client = Client(f"http://127.0.0.1:{installation.ports['mimir']}", lambda: TIMEOUTS)
    backend = probe(client)
    backend.show_recent()
    soon_ms = int(time.time() * 1000) + 1000
    expression = f'last_over_time(contextcore_install_{metric}{{cluster="test"}}[1h])'
    found = backend.query(expression, soon_ms)
    client.close()
    return {item["metric"].get("requirement", ""): float(item["value"][1]) for item in found}


@contextmanager
def held(installation: Installation) -> Iterator[None]:
    """Hold the cluster's lock as a run does."""
    with (installation.files / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_verification_tells_all_records_it_and_changes_nothing(installation: Installation) -> None:
    assert installation.install().returncode == 0
    before = installation.status()
    code, document = verify(installation)
    assert (code, document["ok"], document["completeness_percent"]) == (0, True, 100.0), document
    assert all(check["satisfied"] for check in document["checks"])
    found = {item["id"]: item for item in document["requirements"]}
    assert found["metric_round_trip"]["status"] == "met"
    assert found["mimir_data"]["status"] == "met"
    assert found["only_this_machine"]["status"] == "met"
    assert found["private_files"]["status"] == "met"
    assert found["line_round_trip"]["status"] == "skipped"
    assert "no `loki` on PATH" in found["line_round_trip"]["evidence"]
    assert document["recorded"]
    assert history(installation) == [("install", "succeeded"), ("verify", "succeeded")]
    # A store may show a new series only after a moment, and not while it flushes what it has in memory.
    measured: dict[str, float] = {}

    def told() -> bool:
        measured.update(in_store(installation, "requirement_status_ratio"))
        return "metric_round_trip" in measured

    wait_until(told, "it is told")
    assert measured["metric_round_trip"] == 1.0
    assert "line_round_trip" not in measured
    wait_until(lambda: in_store(installation, "verified_timestamp"), "it is told")
    after = installation.status()
    assert {name: after[name] for name in ("run", "run_id", "overall", "steps")} == {
        name: before[name] for name in ("run", "run_id", "overall", "steps")
    }

    # What is not critical is said, and is no failure.
    installation.home.chmod(0o755)
    shown = installation.run("verify")
    assert shown.returncode == 0, shown.stdout
    assert "works (" in shown.stdout
    assert f"chmod 700 {installation.home}" in shown.stdout
    wait_until(lambda: in_store(installation, "requirement_status_ratio").get("private_files") == 0.0, "it is told")
    installation.home.chmod(0o700)

    # Nobody is kept waiting, and it is told where nothing could be recorded.
    with held(installation):
        code, document = verify(installation)
        assert (code, document["ok"], document["recorded"]) == (0, True, False)
        assert "another run is at work" in document["not_recorded"]
    (installation.files / "lock").unlink()
    (installation.files / "lock").mkdir()
    code, document = verify(installation)
    assert (code, document["recorded"]) == (0, False)
    assert document["not_recorded"]
    (installation.files / "lock").rmdir()
    assert len(history(installation)) == 3


def test_what_is_critical_fails_and_a_repair_after_it_is_whole(installation: Installation) -> None:
    assert installation.install().returncode == 0
    for process in installation.processes():
        end(process)
    code, document = verify(installation)
    assert (code, document["ok"], document["recorded"]) == (1, False, True)
    assert {"mimir_running", "metric_round_trip", "pods_ready"} <= unmet(document)
    assert document["completeness_percent"] < 100
    finding = next(item for item in document["requirements"] if item["id"] == "mimir_running")["findings"][0]
    assert finding["remedy"]["command"].endswith("create-cluster.sh --resume --cluster test")
    assert installation.status()["overall"] == "complete", "what a verification finds is no step's failure"
    assert installation.run("--repair", "--yes").returncode == 0
    wait_until(
        lambda: in_store(installation, "requirement_status_ratio").get("mimir_running") == 1.0,
        "the repair measures again",
    )
    wait_until(lambda: in_store(installation, "completeness_percent").get("") == 100.0, "as a whole, too")
    assert verify(installation)[0] == 0
    assert history(installation)[1:] == [("verify", "failed"), ("repair", "succeeded"), ("verify", "succeeded")]


def test_an_interrupted_installation_stays_one(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    began = read_until(running, "run_started")
    read_until(running, "step_started", "pods_ready")
    kill(running)
    assert stuck.status()["overall"] == "interrupted"
    code, document = verify(stuck)
    assert (code, document["recorded"]) == (1, True)
    status = stuck.status()
    assert (status["overall"], status["run_id"]) == ("interrupted", began["run_id"])
    resumed = stuck.start("--resume")
    assert read_until(resumed, "run_started")["resumes"] == began["run_id"]
    kill(resumed)


def test_where_nothing_is_installed_nothing_is_recorded(installation: Installation) -> None:
    code, document = verify(installation)
    assert (code, document["ok"], document["recorded"]) == (1, False, False)
    assert document["not_recorded"] == "nothing is installed"
    assert not installation.files.exists()
