"""From the journal into real stores, and back by query."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.telemetry.failures import Timeouts
from contextcore_install.telemetry.shipper import Shipper
from kit.fakes import Told
from kit.stores import DEDUPLICATION, MINUTE_US, OUT_OF_ORDER, RECEIVER, MemoryJournal, Store, free_port, wait_until
from kit.telemetry_world import DAY_US, TelemetryWorld, assert_shows_exactly, now_us


def test_every_sample_arrives_with_its_own_time(store: Store) -> None:
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.journal.whole_run("r2")
    shipper = world.ship()
    assert_shows_exactly(store, world)
    assert shipper.unsent() == 0
    assert shipper.missing_samples() == []
    assert world.said == []


def test_a_run_is_seen_while_it_lives(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url, began_us=now_us() - MINUTE_US)
    world.journal.begin("r1")
    with world.shipper() as shipper:
        wait_until(lambda: victoria.shown(world.cluster), "the beginning is not seen")
        shipper.handle(world.journal.add("r1", Kind.STEP_STARTED, "preflight"))
        series = ("contextcore_install_step_status", (("cluster", world.cluster), ("step", "preflight")))
        wait_until(lambda: 1.0 in victoria.shown(world.cluster)[series].values(), "the change is not seen")


def test_what_was_sent_but_not_noted_is_there_once(store: Store) -> None:
    """As after kill -9 between the store's answer and the cursor's save."""
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.cursors.failure = InstallError("disk-full", "no space left")
    world.ship()
    assert world.cursors.kept == {}
    world.cursors.failure = None
    world.journal.whole_run("r2")
    world.ship()
    assert_shows_exactly(store, world)
    assert world.said == []


def test_without_deduplication_samples_are_there_once_as_well(new_store: Callable[..., Store]) -> None:
    store = new_store("victoria-metrics")
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.ship()
    store.shown(world.cluster)  # also makes them visible
    world.cursors.kept = {}
    world.journal.whole_run("r2")
    world.ship()
    assert_shows_exactly(store, world)


@pytest.mark.parametrize(
    ("name", "arguments", "config"),
    [("victoria-metrics", [DEDUPLICATION], "{}"), ("prometheus", [RECEIVER], OUT_OF_ORDER)],
)
def test_a_store_that_lost_its_data_gets_everything_again(
    new_store: Callable[..., Store], name: str, arguments: list[str], config: str
) -> None:
    store = new_store(name, *arguments, config=config)
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.ship()
    store.stop()
    store.wipe()
    store.start()
    checking = world.shipper()
    assert checking.unsent() == 0, "it cannot know without asking"
    assert "nothing of" in checking.missing_samples()[0]
    world.journal.whole_run("r2")
    shipper = world.ship()
    assert_shows_exactly(store, world)
    assert shipper.missing_samples() == []
    assert world.said == []


def test_a_store_that_moved_to_another_port_is_recognised(new_store: Callable[..., Store]) -> None:
    store = new_store("prometheus", RECEIVER)
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    world.ship()
    store.stop()
    store.port = free_port()
    store.start()
    world.url = store.url
    world.journal.whole_run("r2")
    before = len(world.expected())
    assert world.shipper().flush(Told().ctx) < before
    assert_shows_exactly(store, world)
    assert len(world.cursors.kept) == 2


def test_another_store_at_the_same_url_gets_everything(
    victoria: Store, prometheus: Store, strict_prometheus: Store
) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    for store in (victoria, prometheus, strict_prometheus):
        world.url = store.url
        world.ship()
        assert_shows_exactly(store, world)


def test_days_old_events_arrive_where_the_store_takes_them(victoria: Store, prometheus: Store) -> None:
    for store in (victoria, prometheus):
        world = TelemetryWorld(store.url, began_us=now_us() - 6 * DAY_US)
        world.journal.whole_run("r1")
        world.journal.whole_run("r2", after_us=5 * DAY_US)
        shipper = world.ship()
        assert_shows_exactly(store, world)
        assert shipper.missing_samples() == []


@pytest.mark.parametrize(
    ("kind", "days", "reason"), [("strict_prometheus", 6, "out of bounds"), ("prometheus", 45, "too old sample")]
)
def test_a_store_that_takes_nothing_old_gets_the_rest(
    request: pytest.FixtureRequest, kind: str, days: int, reason: str
) -> None:
    store: Store = request.getfixturevalue(kind)
    other = TelemetryWorld(store.url, began_us=now_us() - MINUTE_US)
    other.journal.whole_run("r1", after_us=1)
    other.ship()
    world = TelemetryWorld(store.url, began_us=now_us() - days * DAY_US)
    world.journal.whole_run("r1")
    old = len(world.expected())
    world.journal.whole_run("r2", after_us=days * DAY_US - 2 * MINUTE_US)
    shipper = world.ship()
    assert_shows_exactly(store, world, world.expected()[old:])
    assert len(world.said) == 1
    assert f"refused {old} samples" in world.said[0]
    assert reason in world.said[0]
    assert shipper.unsent() == 0
    assert shipper.missing_samples() == [], "what the store refused for good is not missed"
    world.ship()
    assert len(world.said) == 1, "and not sent again"


def test_flush_sends_everything_and_counts_it(store: Store) -> None:
    world = TelemetryWorld(store.url)
    world.journal.whole_run("r1")
    shipper = world.shipper()
    assert shipper.unsent() == len(world.journal.events)
    assert shipper.flush(Told().ctx) == len(world.expected())
    assert shipper.flush(Told().ctx) == 0
    assert shipper.unsent() == 0
    assert shipper.missing_samples() == []
    assert shipper.backend().endswith(f"at {store.url}")


def test_a_sample_that_the_store_lost_is_named_and_sent_again(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    shipper = world.ship()
    client, _ = victoria.backend()
    lost = f'contextcore_install_step_status{{cluster="{world.cluster}",step="preflight"}}'
    from urllib.parse import urlencode

    client.request("GET", "/internal/force_flush")
    client.request("GET", f"/api/v1/admin/tsdb/delete_series?{urlencode({'match[]': lost})}")
    client.close()
    missing = shipper.missing_samples()
    assert len(missing) == 3
    assert lost in missing[0]
    assert "is not there" in missing[0]
    assert shipper.flush(Told().ctx) == 3
    assert shipper.missing_samples() == []


def test_who_asks_after_the_end_has_all_the_time_again(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    assert world.ship()._metrics.timeouts() == Timeouts()


def test_a_live_run_is_not_counted_as_unsent() -> None:
    world = TelemetryWorld(None)
    world.journal.whole_run("r1")
    finished = len(world.journal.events)
    world.journal.begin("r2")
    assert world.shipper().unsent() == finished


def test_a_new_journal_is_shipped_from_its_start(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    first = world.expected()
    world.journal = MemoryJournal(now_us() - 10 * MINUTE_US)
    world.journal.whole_run("r2")
    world.journal.whole_run("r3")
    world.ship()
    assert_shows_exactly(victoria, world, first + world.expected())


def test_what_is_counted_anew_without_a_damaged_line_is_no_missing_sample(store: Store) -> None:
    """A store has the values of a time when the journal was whole: they count, whichever line is gone since."""
    for number in range(1, 22):
        world = TelemetryWorld(store.url, began_us=now_us() - 3 * MINUTE_US)
        world.journal.whole_run("r1")
        world.ship()
        before = store.shown(world.cluster)
        del world.journal.events[number - 1]
        world.journal.begin("r2")
        shipper = world.shipper()
        shipper.flush(Told().ctx)
        assert shipper.missing_samples() == [], f"without event {number}"
        world.ship()
        assert world.said == [], f"without event {number}"
        shown = store.shown(world.cluster)
        kept = {series: {at: shown[series][at] for at in samples} for series, samples in before.items()}
        assert kept == before, f"without event {number}"


def test_a_cursor_of_another_version_of_the_fold_is_carried_on(victoria: Store) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    for cursor in world.cursors.kept.values():
        cursor["sent"]["fold"] = {"version": 0}
    world.journal.whole_run("r2")
    world.ship()
    assert_shows_exactly(victoria, world)


@pytest.mark.parametrize("spoilt", [{"sent": 1}, {"sent": {"number": "x"}, "base": {}}, {"mark": [], "sent": {}}])
def test_a_spoilt_cursor_costs_a_resend(victoria: Store, spoilt: dict[str, object]) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    world.cursors.kept = dict.fromkeys(world.cursors.kept, spoilt)
    world.ship()
    assert_shows_exactly(victoria, world)


def test_it_works_on_the_files_as_they_are_kept(victoria: Store, tmp_path: Path) -> None:
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.journal.whole_run("r2")
    writer = JournalWriter(tmp_path / "journal.jsonl")

    def shipper() -> Shipper:
        reader, cursors = JournalReader(tmp_path / "journal.jsonl"), CursorFile(tmp_path / "cursors.json")
        return Shipper(reader, cursors, world.cluster, lambda: victoria.url, world.said.append)

    for event in world.journal.events:
        writer.append(event)
        if event.number % 10 == 0:
            shipper().flush(Told().ctx)
    writer.close()
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"number":')  # torn by a crash
    with shipper():
        pass
    assert shipper().unsent() == 0
    assert shipper().missing_samples() == []
    assert_shows_exactly(victoria, world)
    assert (tmp_path / "cursors.json").stat().st_size < 10_000


def test_a_provider_that_cannot_tell_is_no_trouble() -> None:
    def fail() -> str:
        raise InstallError("cluster-absent", "there is no cluster")

    world = TelemetryWorld(None)
    world.journal.whole_run("r1")
    shipper = Shipper(world.journal, world.cursors, "c", fail, world.said.append)
    with shipper:
        pass
    assert world.said == []
    with pytest.raises(InstallError, match="no cluster"):
        shipper.backend()


def test_no_proxy_is_used(victoria: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    world = TelemetryWorld(victoria.url)
    world.journal.whole_run("r1")
    world.ship()
    assert_shows_exactly(victoria, world)


def test_many_samples_arrive(store: Store) -> None:
    world = TelemetryWorld(store.url, began_us=now_us() - 20 * MINUTE_US)
    world.journal.begin("r1", after_us=1)
    while len(world.journal.events) < 10_000:
        world.journal.add("r1", Kind.HEARTBEAT, after_us=100_000)
    world.journal.end("r1")
    assert world.shipper().flush(Told().ctx) == len(world.expected()) > 10_000
    assert_shows_exactly(store, world)
