"""With state file and journal gone, the metrics store still knows how the installation stands."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.engine.state import State
from contextcore_install.telemetry.failures import StoreError
from contextcore_install.telemetry.rebuild import rebuild
from contextcore_install.telemetry.shipper import Shipper
from kit.fakes import Told
from kit.installation import Installation, end, kill, read_until
from kit.stores import MINUTE_US, MemoryCursors, MemoryJournal, Store, free_port

TOLD = ("status", "attempts", "started_at", "completed_at", "duration_seconds")


def test_every_store_tells_what_it_was_told(store: Store) -> None:
    cluster = f"c-{uuid.uuid4().hex[:8]}"
    journal = MemoryJournal(time.time_ns() // 1000 - 50 * MINUTE_US)
    journal.begin("r1", after_us=1)
    journal.add("r1", Kind.STEP_STARTED, "preflight", after_us=1_100_000)
    journal.add("r1", Kind.STEP_FAILED, "preflight", after_us=900_000, error={"code": "x"}, duration_seconds=0.9)
    journal.end("r1")
    journal.begin("r2")
    journal.steps("r2", step_us=1_300_000)
    journal.end("r2")
    Shipper(journal, MemoryCursors(), cluster, lambda: store.url, print).flush(Told().ctx)

    found = rebuild(store.url, cluster, 0, 10.0)
    assert found
    original = State(cluster).apply_all(journal.events)
    for step_id, step in original.steps.items():
        rebuilt = found.state.step(step_id)
        assert [getattr(rebuilt, name) for name in TOLD] == [getattr(step, name) for name in TOLD], step_id
    assert found.state.started_at == original.started_at
    assert (found.state.provider, found.state.run.run_id) == ("host", "r2")
    assert found.state.run.finished_at == original.run.finished_at
    assert found.newest_ms * 1000 <= journal.at_us + 1000
    assert rebuild(store.url, cluster, found.newest_ms + 1, 10.0) is None, "what was put aside is not brought back"
    assert rebuild(store.url, f"{cluster}-other", 0, 10.0) is None


def test_a_store_that_does_not_answer_costs_little() -> None:
    began = time.monotonic()
    with pytest.raises(StoreError):
        rebuild(f"http://127.0.0.1:{free_port()}", "c", 0, 60.0)
    assert time.monotonic() - began < 30


def lose_records(installation: Installation) -> None:
    for name in ("install-state.json", "journal.jsonl", "cursors.json"):
        (installation.files / name).unlink()


def steps_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["id"]: {name: step[name] for name in TOLD} for step in document["steps"]}


def events(installation: Installation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (installation.files / "journal.jsonl").read_text().splitlines()]


def test_an_installation_that_lost_its_records_is_known_again_and_carried_on(installation: Installation) -> None:
    running = installation.start("--provider", "host", *installation.port_flags())
    read_until(running, "step_started", "manifests_apply")
    kill(running)
    assert installation.run("--resume").returncode == 0
    for process in installation.processes():
        end(process)
    assert installation.run("--repair", "--yes").returncode == 0, "so that some steps were begun more than once"
    before = installation.status()
    assert max(installation.attempts().values()) > 1
    store = Store("victoria-metrics", Path(), port=installation.ports["mimir"])
    sent = store.shown(installation.cluster)
    counted = store.count(installation.cluster)
    lose_records(installation)

    answered = installation.run("--status")
    assert "the state was rebuilt from the metrics store's samples" in answered.stderr
    after = installation.status()
    assert steps_of(after) == steps_of(before)
    for name in ("provider", "run_id", "progress", "overall", "started_at"):
        assert after[name] == before[name], name
    assert after["settings"]["ports"] == before["settings"]["ports"]
    looked = json.loads(installation.run("--status", "--live", "--output", "json").stdout)
    unlike = [check for check in looked["checks"] if not check["satisfied"]]
    assert not unlike, "the store knows how complete it is, though nothing here says so"
    assert not (installation.files / "journal.jsonl").exists(), "--status only reads"

    resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "rebuilt from the metrics store's samples" in resumed.stdout
    assert steps_of(installation.status()) == steps_of(before), "every check held: nothing was applied"
    assert events(installation)[0]["kind"] == "state_imported"
    assert events(installation)[0]["source"].startswith("metrics store: VictoriaMetrics")

    shown = store.shown(installation.cluster)
    assert all(values.items() <= shown[series].items() for series, values in sent.items())
    assert store.count(installation.cluster) == sum(map(len, shown.values())) > counted, "nothing is there twice"


def test_what_was_rebuilt_counts_only_where_its_check_holds(installation: Installation) -> None:
    assert installation.install().returncode == 0
    attempts = installation.attempts()
    lose_records(installation)
    shutil.rmtree(installation.files / "host" / "logs")
    assert installation.run("--repair", "--yes").returncode == 0
    applied = ("cluster_create", "metrics_seed")  # which measures again how complete it is
    assert installation.attempts() == attempts | {step: attempts[step] + 1 for step in applied}
    assert (installation.files / "host" / "logs").is_dir()


def test_what_was_reset_stays_reset(installation: Installation) -> None:
    assert installation.install().returncode == 0
    assert installation.run("--reset").returncode == 0
    assert installation.status()["overall"] == "not_installed"
    again = installation.install()
    assert again.returncode == 0
    assert "rebuilt" not in again.stdout + again.stderr


def test_a_store_that_hangs_is_not_waited_for(installation: Installation) -> None:
    assert installation.install().returncode == 0
    lose_records(installation)
    [store] = installation.processes()
    store.suspend()
    assert installation.status()["overall"] == "not_installed"
    store.resume()
    assert installation.status()["overall"] == "complete"
