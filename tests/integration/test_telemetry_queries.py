"""The queries of docs/reference/metrics.md, each against real stores, long after the run is over."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.telemetry.shipper import Shipper
from kit.fakes import Told
from kit.stores import MINUTE_US, MemoryCursors, MemoryJournal, Store

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"
QUERIES = dict(re.findall(r"### ([^(\n]+?)(?: \([^\n]*)?\n\n```promql\n(.+?)```", PAGE.read_text(), re.DOTALL))


def shipped(store: Store, journal: MemoryJournal) -> str:
    """Ship a journal and return the cluster's name."""
    cluster = f"c-{uuid.uuid4().hex[:8]}"
    Shipper(journal, MemoryCursors(), cluster, lambda: store.url, print).flush(Told().ctx)
    store.shown(cluster)
    return cluster


def ask(store: Store, title: str, cluster: str) -> dict[str, float]:
    """Return the values of a documented query by the label `step` or `requirement`."""
    client, backend = store.backend()
    now_ms = int(time.time() * 1000)
    found = backend.query(QUERIES[title].replace("o11y-dev", cluster), now_ms)
    client.close()
    metrics = [(series["metric"], float(series["value"][1])) for series in found]
    return {metric.get("step", "") or metric.get("requirement", ""): value for metric, value in metrics}


def fifty_minutes_ago() -> MemoryJournal:
    return MemoryJournal(time.time_ns() // 1000 - 50 * MINUTE_US)


def failed_then_done() -> MemoryJournal:
    journal = fifty_minutes_ago()
    journal.begin("r1", after_us=1)
    journal.add("r1", Kind.STEP_STARTED, "preflight")
    journal.add("r1", Kind.STEP_FAILED, "preflight", error={"code": "x"}, duration_seconds=1.0)
    journal.end("r1")
    journal.begin("r2")
    journal.steps("r2", step_us=1_000_000)
    requirements = [{"requirement": name, "category": "a", "ratio": 1.0} for name in ("x", "y")]
    before = [{"requirement": name, "category": "a", "ratio": 0.5} for name in ("x", "gone")]
    journal.add("r2", Kind.VERIFIED, "metrics_seed", requirements=before)
    journal.add("r2", Kind.VERIFIED, "metrics_seed", requirements=requirements)
    journal.end("r2")
    return journal


def cut_off() -> MemoryJournal:
    journal = fifty_minutes_ago()
    journal.whole_run("r1", after_us=1)
    journal.begin("r2")
    journal.add("r2", Kind.STEP_INVALIDATED, "pods_ready")
    journal.add("r2", Kind.STEP_STARTED, "pods_ready")
    journal.add("r2", Kind.HEARTBEAT, after_us=15_000_000)
    return journal


def failed() -> MemoryJournal:
    journal = fifty_minutes_ago()
    journal.begin("r1", after_us=1)
    journal.add("r1", Kind.STEP_STARTED, "preflight")
    journal.add("r1", Kind.STEP_FAILED, "preflight", error={"code": "x"}, duration_seconds=1.0)
    found = [{"requirement": name, "category": "a", "ratio": ratio} for name, ratio in (("x", 0.5), ("y", 1.0))]
    journal.add("r1", Kind.VERIFIED, requirements=found)
    journal.end("r1")
    return journal


def test_every_query_of_the_page_is_tested() -> None:
    assert len(QUERIES) == 11
    assert len(QUERIES) == PAGE.read_text().count("```promql")


def test_a_finished_run(store: Store) -> None:
    cluster = shipped(store, failed_then_done())
    assert set(ask(store, "The status of each step", cluster).values()) == {2.0}
    assert len(ask(store, "The status of each step", cluster)) == 6
    assert ask(store, "How many steps have failed", cluster) == {"": 0.0}
    assert ask(store, "Which steps are in progress", cluster) == {}
    took = ask(store, "How long the latest run took, in seconds", cluster)
    assert took == pytest.approx({"": 18.0}, abs=0.1)
    assert ask(store, "Whether the latest run was killed", cluster) == {}
    assert ask(store, "How far the installation is, in percent", cluster) == pytest.approx({"": 100.0})
    assert ask(store, "How often steps had to be retried", cluster) == {"": 2.0}
    assert ask(store, "How many runs there were in the last week", cluster) == {"": 2.0}
    assert ask(store, "How complete the stack was when it was last verified, in percent", cluster) == {"": 100.0}
    ago = ask(store, "How long ago the stack last passed verification, in seconds", cluster)
    assert ago == pytest.approx({"": 49 * 60 - 20}, abs=30)
    assert ask(store, "Which requirements the latest verification found unmet", cluster) == {}


def test_a_run_that_was_cut_off(store: Store) -> None:
    cluster = shipped(store, cut_off())
    assert ask(store, "Which steps are in progress", cluster) == {"pods_ready": 1.0}
    took = ask(store, "How long the latest run took, in seconds", cluster)
    assert took == pytest.approx({"": 15.0}, abs=0.1)
    silent = ask(store, "Whether the latest run was killed", cluster)
    assert silent == pytest.approx({"": 48 * 60 + 45}, abs=30)
    assert ask(store, "How far the installation is, in percent", cluster) == pytest.approx({"": 500 / 6}, abs=1e-3)


def test_a_run_that_failed(victoria: Store) -> None:
    cluster = shipped(victoria, failed())
    assert ask(victoria, "How many steps have failed", cluster) == {"": 1.0}
    assert ask(victoria, "Which steps are in progress", cluster) == {}
    assert ask(victoria, "How often steps had to be retried", cluster) == {"": 0.0}
    assert ask(victoria, "Which requirements the latest verification found unmet", cluster) == {"x": 0.5}
