"""Ports that others hold: nothing is sent to who listens there, and what they answer says nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.provider import Endpoint
from contextcore_install.providers.host.provider import HostProvider
from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import StoreError
from kit.fakes import Told
from kit.host_world import World
from kit.installation import Installation, end
from kit.stores import TIMEOUTS, Store, free_port, wait_until


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[tuple[Installation, Installation]]:
    """Return two homes whose installations have one name and want the same ports; the first one has them."""
    first = Installation(tmp_path / "first")
    second = replace(first, folder=tmp_path / "second")
    assert first.install().returncode == 0
    wait_until(lambda: samples_in(first, "finished_timestamp"), "the store shows how its run ended")
    yield first, second
    for place in (first, second):
        place.remove()


def store_of(provider: HostProvider) -> Endpoint:
    return next(item for item in provider.endpoints() if item.component == "mimir")


def samples_in(place: Installation, metric: str = ".+") -> list[str]:
    """Return all that a store holds of all installations, what verifications wrote included; no cache answers."""
    client = Client(f"http://127.0.0.1:{place.ports['mimir']}", lambda: TIMEOUTS)
    wanted = urlencode({"match[]": f'{{__name__=~"contextcore_install_{metric}"}}'})
    try:
        client.request("GET", "/internal/force_flush")
        return sorted(client.request("GET", f"/api/v1/export?{wanted}").body.decode().splitlines())
    finally:
        client.close()


def test_nothing_is_sent_to_a_port_that_another_installation_holds(
    neighbours: tuple[Installation, Installation],
) -> None:
    first, second = neighbours
    before = samples_in(first)
    failed = second.install()
    assert failed.returncode == 3, failed.stdout
    assert "is held by" in failed.stdout
    other = second.run("--cluster", "another", "--provider", "host", *second.port_flags())
    assert other.returncode == 3, other.stdout
    assert samples_in(first) == before


def test_what_another_installation_answers_is_no_part_of_a_verification(
    neighbours: tuple[Installation, Installation],
) -> None:
    first, second = neighbours
    second.install()
    before = samples_in(first)
    verified = json.loads(second.run("verify", "--output", "json").stdout)
    found = {each["id"]: each for each in verified["requirements"]}
    assert found["services_verify"]["status"] == "unmet"
    assert str(first.files) in found["services_verify"]["findings"][0]["evidence"]
    assert found["metric_round_trip"]["status"] == "skipped"
    assert str(first.files) in found["metric_round_trip"]["evidence"]
    assert samples_in(first) == before


def test_records_are_not_rebuilt_from_the_store_of_another_installation(
    neighbours: tuple[Installation, Installation],
) -> None:
    first, second = neighbours
    own = replace(second, ports={**second.ports, "mimir": free_port()})
    assert own.install().returncode == 0
    for process in own.processes():
        end(process)
    (own.files / "journal.jsonl").unlink()
    own.state.unlink()
    ports = own.files / "host" / "run" / "ports.json"
    ports.write_text(ports.read_text().replace(str(own.ports["mimir"]), str(first.ports["mimir"])))
    assert own.status()["overall"] == "not_installed"


def test_our_own_store_is_no_stranger_and_a_dead_one_leaves_a_port_with_nobody(world: World) -> None:
    provider = world.provider()
    assert provider.endpoints() == [], "nothing is installed, and nobody listens"
    told = Told()
    provider.create_cluster(told.ctx)
    provider.apply_release(told.ctx)
    while not all(item.ready for item in provider.workloads()):
        assert store_of(provider).is_reachable, "it is being started"
    assert store_of(provider).is_reachable
    record = world.daemons().record_path("mimir")
    kept = record.read_text()
    record.unlink()
    assert store_of(provider).is_reachable, "it is found by its mark where its record is lost"
    record.write_text(kept)
    world.kill()
    assert store_of(provider).is_reachable
    world.boot = "boot 2"
    assert store_of(world.provider()).is_reachable, "nothing has been started since the machine was restarted"


def test_who_took_the_port_of_a_dead_store_is_a_stranger_until_ours_is_back(world: World, victoria: Store) -> None:
    provider = world.install()
    world.kill()
    moved = world.provider(ports={**world.ports, "mimir": victoria.port})
    assert not store_of(moved).is_reachable
    assert f"port {victoria.port} is held by victoria-metric" in store_of(moved).stranger
    provider.start_workloads(Told().ctx)
    world.ready(provider)
    assert store_of(provider).is_reachable


def test_a_connection_is_not_made_anew_to_who_took_the_port(victoria: Store) -> None:
    theirs = True
    client = Client(victoria.url, lambda: TIMEOUTS, lambda: theirs)
    try:
        probe(client)
        client.close()
        theirs = False
        with pytest.raises(StoreError, match="another program"):
            probe(client)
    finally:
        client.close()
