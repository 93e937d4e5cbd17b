"""The whole story reaches a store, however late: every sample once, with the time at which it happened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.core.events import Event, Kind, event_from_document, instant
from contextcore_install.telemetry.folds.metrics import MetricsFold
from kit.fakes import Told
from kit.installation import Installation, kill, read_until
from kit.stores import DEDUPLICATION, OUT_OF_ORDER, RECEIVER, Store, program
from kit.telemetry_world import DAY_US, HOUR_US, TelemetryWorld, assert_shows_exactly, now_us

STORES = pytest.mark.parametrize(
    ("name", "arguments", "config"),
    [
        ("victoria-metrics", [DEDUPLICATION], "{}"),
        ("prometheus", [RECEIVER], OUT_OF_ORDER),
        ("prometheus", [RECEIVER], "{}"),
    ],
    ids=["victoria-metrics", "prometheus", "prometheus in order only"],
)
"""Stores of their own, as an installation's is: nothing else has moved what they count as old."""


def begin_and_be_cut_off(world: TelemetryWorld) -> None:
    world.journal.begin("r1", after_us=1)
    world.journal.add("r1", Kind.STEP_STARTED, "preflight", after_us=500_000)
    world.journal.add("r1", Kind.STEP_COMPLETED, "preflight", after_us=500_000, duration_seconds=0.5)
    world.journal.add("r1", Kind.STEP_STARTED, "cluster_create", after_us=500_000)


@STORES
def test_a_run_cut_off_before_there_was_a_store_arrives_hours_later(
    new_store: Callable[..., Store], name: str, arguments: list[str], config: str
) -> None:
    store = new_store(name, *arguments, config=config)
    world = TelemetryWorld(None, began_us=now_us() - 5 * HOUR_US)
    begin_and_be_cut_off(world)
    world.ship()
    world.url = store.url
    world.journal.whole_run("r2", after_us=5 * HOUR_US - 60_000_000, step_us=500_000)
    world.ship()
    assert_shows_exactly(store, world)
    assert world.shipper().missing_samples() == []
    assert world.said == []


@STORES
def test_what_was_sent_before_the_cut_is_not_sent_again_hours_later(
    new_store: Callable[..., Store], name: str, arguments: list[str], config: str
) -> None:
    """The first half arrived and its cursor was lost with the power; the second half was written and not sent."""
    store = new_store(name, *arguments, config=config)
    world = TelemetryWorld(store.url, began_us=now_us() - 5 * HOUR_US)
    begin_and_be_cut_off(world)
    world.ship()
    world.cursors.kept = {}
    world.journal.add("r1", Kind.HEARTBEAT, after_us=15_000_000)
    world.journal.whole_run("r2", after_us=5 * HOUR_US - 60_000_000, step_us=500_000)
    for _ in range(2):  # and once more, as after a process that died before it noted anything
        world.cursors.kept = {}
        world.ship()
        assert_shows_exactly(store, world)
    assert world.shipper().missing_samples() == []
    assert world.said == []


def test_a_store_gets_what_its_window_takes_and_the_rest_is_told_once(new_store: Callable[..., Store]) -> None:
    """A window of two hours, a run five hours ago and one of an hour ago; more refused than one request holds."""
    store = new_store("prometheus", RECEIVER, config="storage: {tsdb: {out_of_order_time_window: 2h}}")
    other = TelemetryWorld(store.url, began_us=now_us() - 1_000_000)
    other.journal.whole_run("r1", after_us=1)
    other.ship()
    world = TelemetryWorld(store.url, began_us=now_us() - 5 * HOUR_US)
    begin_and_be_cut_off(world)
    for _ in range(1200):
        world.journal.add("r1", Kind.HEARTBEAT, after_us=1_000_000)
    refused = len(world.expected())
    world.journal.whole_run("r2", after_us=3 * HOUR_US)
    shipper = world.shipper()
    taken = shipper.flush(Told().ctx)
    assert taken == len(world.expected()) - refused
    assert_shows_exactly(store, world, world.expected()[refused:])
    assert len(world.said) == 1
    assert f"refused {refused} samples for good" in world.said[0]
    assert shipper.unsent() == 0
    assert shipper.missing_samples() == []
    assert shipper.flush(Told().ctx) == 0
    assert world.shipper().flush(Told().ctx) == 0, "nor by another process"
    assert len(world.said) == 1


def test_what_a_store_drops_without_a_word_is_sent_again_and_then_given_up(new_store: Callable[..., Store]) -> None:
    """VictoriaMetrics answers 204 to what is older than its retention."""
    store = new_store("victoria-metrics", DEDUPLICATION, "-retentionPeriod=2d")
    world = TelemetryWorld(store.url, began_us=now_us() - 6 * DAY_US)
    begin_and_be_cut_off(world)
    old = len(world.expected())
    world.journal.whole_run("r2", after_us=6 * DAY_US - 60_000_000)
    world.ship()
    shipper = world.shipper()
    assert "has nothing of" in shipper.missing_samples()[0]
    assert shipper.flush(Told().ctx) >= old, "what may be missing, and what came behind it, is sent again"
    assert "is not there" in shipper.missing_samples()[0]
    assert shipper.flush(Told().ctx) == old
    assert shipper.missing_samples() == []
    assert_shows_exactly(store, world, world.expected()[old:])
    [said] = world.said
    assert f"refused {old} samples for good" in said
    assert "does not keep what is so old" in said
    later = world.shipper()
    assert later.missing_samples() == [], "nor is it missed by another process"
    assert later.flush(Told().ctx) == 0


def age(journal: Path, by_us: int) -> list[Event]:
    """Make what a journal tells older, as if nobody had come back for hours; return its events."""
    events = [event_from_document(json.loads(line)) for line in journal.read_text().splitlines()]
    documents = [event.as_document() | {"at": instant(event.at_us - by_us)} for event in events]
    journal.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return [event_from_document(document) for document in documents]


@pytest.mark.parametrize("name", ["victoria-metrics", "prometheus"])
def test_an_installation_resumed_hours_later_has_all_its_story_in_its_store(
    installation: Installation, tmp_path: Path, name: str
) -> None:
    """Killed before its store was there, carried on five hours later: every sample since the first second."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(program(name))
    environ = {"PATH": os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"])}
    running = installation.start("--provider", "host", *installation.port_flags())
    read_until(running, "step_started", "cluster_create")
    kill(running)
    journal = installation.files / "journal.jsonl"
    age(journal, 5 * HOUR_US)
    installation.state.unlink()
    resumed = installation.run("--resume", environ=environ)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "refused" not in resumed.stdout + resumed.stderr

    fold = MetricsFold(installation.cluster)
    events = [event_from_document(json.loads(line)) for line in journal.read_text().splitlines()]
    assert events[-1].at_us - events[0].at_us > 5 * HOUR_US
    world = TelemetryWorld(None)
    world.cluster = installation.cluster
    samples = [sample for event in events for sample in fold.take(event)]
    assert_shows_exactly(Store(name, tmp_path / "store", port=installation.ports["mimir"]), world, samples)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["victoria-metrics", "prometheus"])
def test_a_damaged_line_of_the_journal_fails_no_later_run(
    installation: Installation, tmp_path: Path, name: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(program(name))
    environ = {"PATH": os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"])}
    first = installation.run("--provider", "host", *installation.port_flags(), environ=environ)
    assert first.returncode == 0, first.stdout + first.stderr
    journal = installation.files / "journal.jsonl"
    lines = journal.read_text().splitlines()
    events = [event_from_document(json.loads(line)) for line in lines]
    completed = [(event.kind, event.step) == (Kind.STEP_COMPLETED, "cluster_create") for event in events]
    lines[completed.index(True)] = "garbage"
    journal.write_text("".join(f"{line}\n" for line in lines))
    again = installation.run(environ=environ)
    assert again.returncode == 0, again.stdout + again.stderr
    said = again.stdout + again.stderr
    assert "refused" not in said
    assert "is there as" not in said
