"""What a store loses with `kill -9`, as it had only taken it in, is found missing and sent again."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlencode

import pytest

from contextcore_install.core.events import Kind
from kit.stores import (
    DEDUPLICATION,
    MINUTE_US,
    OUT_OF_ORDER,
    RECEIVER,
    Misbehaving,
    Reply,
    Store,
    answer,
    healthy,
    wait_until,
)
from kit.telemetry_world import TelemetryWorld, assert_shows_exactly, now_us

STORES = pytest.mark.parametrize(
    ("name", "arguments", "config"),
    [("victoria-metrics", [DEDUPLICATION], "{}"), ("prometheus", [RECEIVER], OUT_OF_ORDER)],
)
NewStore = Callable[..., Store]


@STORES
def test_what_was_lost_after_a_run_is_sent_by_the_next(
    new_store: NewStore, name: str, arguments: list[str], config: str
) -> None:
    store = new_store(name, *arguments, config=config)
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.ship()
    assert_shows_exactly(store, world)
    store.crash()
    store.start()
    world.journal.whole_run("r2")
    world.ship()
    assert_shows_exactly(store, world)
    assert world.said == []


@STORES
def test_what_was_lost_in_the_middle_of_a_run_is_sent_before_its_end(
    new_store: NewStore, name: str, arguments: list[str], config: str
) -> None:
    store = new_store(name, *arguments, config=config)
    world = TelemetryWorld(store.url, began_us=now_us() - MINUTE_US)
    world.journal.begin("r1", after_us=1)
    with world.shipper() as shipper:
        wait_until(lambda: store.shown(world.cluster), "the beginning is not seen")
        store.crash()
        store.start()
        world.journal.add("r1", Kind.STEP_STARTED, "preflight", attempt=1)
        shipper.handle(world.journal.events[-1])
        wait_until(lambda: len(store.shown(world.cluster)) > 1, "nothing arrives after the crash")
        world.journal.end("r1")
        shipper.close(60.0)
    assert_shows_exactly(store, world)
    assert world.said == []


def test_what_was_lost_while_newer_samples_were_kept_is_sent_by_the_next_run(victoria: Store) -> None:
    """As where the parts of a store reach the disk one after another."""
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    lost = f'contextcore_install_step_status{{cluster="{world.cluster}",step="preflight"}}'
    client, _ = victoria.backend()
    client.request("GET", "/internal/force_flush")
    client.request("GET", f"/api/v1/admin/tsdb/delete_series?{urlencode({'match[]': lost})}")
    client.close()
    world.journal.whole_run("r2")
    world.ship()
    assert_shows_exactly(victoria, world)
    assert world.said == []


def test_a_store_that_shows_nothing_and_keeps_no_connection_is_given_everything_twice_at_most(
    misbehaving: Callable[[Reply], Misbehaving],
) -> None:
    def reply(_: Misbehaving, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        if not healthy(handler):
            answer(handler, 204, headers={"Connection": "close"})

    forgetful = misbehaving(reply)
    world = TelemetryWorld(forgetful.url)
    world.journal.whole_run("r1")
    world.ship()
    written = [request for request in forgetful.requests if request == "POST /api/v1/write"]
    assert len(written) <= 2 * 2, "each time with a write of nothing, to find out which store it is"


def test_a_store_is_asked_once_for_what_it_took_last(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    (cursor,) = world.cursors.kept.values()
    assert cursor["sent_ms"] > 0
    assert "settled" not in cursor, "it was taken a moment ago"
    (name,) = world.cursors.kept
    world.cursors.kept[name]["sent_ms"] -= 61_000
    world.journal.whole_run("r2")
    world.ship()
    assert world.cursors.kept[name]["settled"] == cursor["sent"]["number"]
    assert_shows_exactly(victoria, world)
