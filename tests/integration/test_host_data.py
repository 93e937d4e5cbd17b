"""What components keep on this machine, copied while they run: whole, and with everything running again after it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.provider import Volume
from contextcore_install.providers.host.provider import HostProvider
from kit.fakes import Told
from kit.host_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.has("victoria-metrics")
    made.stands_in("loki", "grafana")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def provider(world: World) -> HostProvider:
    installed = world.install()
    (world.layout().data / "loki" / "chunks").mkdir(parents=True)
    (world.layout().data / "loki" / "chunks" / "one").write_text("lines")
    return installed


def volume(provider: HostProvider, name: str) -> Volume:
    return next(item for item in provider.data().volumes() if item.name == name)


def test_a_component_without_snapshots_is_ended_for_its_copy_and_started_again(
    world: World, provider: HostProvider, tmp_path: Path
) -> None:
    loki, store = world.pid("loki"), world.pid("mimir")
    kept = volume(provider, "loki")
    assert kept.restarts
    assert not volume(provider, "victoria-metrics").restarts
    with (tmp_path / "copy").open("w+b") as file:
        provider.data().save(kept, file, Told().ctx)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            assert "chunks/one" in tar.getnames()
    world.ready(provider)
    assert world.pid("loki") != loki
    assert world.pid("mimir") == store
    assert not provider.drift()


def test_a_copy_that_is_cut_off_leaves_everything_running(world: World, provider: HostProvider, tmp_path: Path) -> None:
    told = Told()
    told.token.cancel("Ctrl-C")
    for name in ("loki", "victoria-metrics"):
        with (tmp_path / name).open("w+b") as file, pytest.raises(CancelledError):
            provider.data().save(volume(provider, name), file, told.ctx)
    assert all(item.ready for item in world.ready(provider))
    assert not list((world.layout().data / "victoria-metrics" / "snapshots").iterdir())


def test_a_copy_of_no_use_replaces_nothing(world: World, provider: HostProvider, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no tar" * 1000)
    with (tmp_path / "bad").open("rb") as file, pytest.raises(InstallError) as caught:
        provider.data().fill(volume(provider, "loki"), file, Told().ctx)
    assert caught.value.code == "volume-unusable"
    assert (world.layout().data / "loki" / "chunks" / "one").read_text() == "lines"
    assert world.daemons().look("loki").alive


def test_a_volume_is_replaced_whole(world: World, provider: HostProvider, tmp_path: Path) -> None:
    data = world.layout().data
    with (tmp_path / "copy").open("w+b") as file:
        provider.data().save(volume(provider, "loki"), file, Told().ctx)
        (data / "loki" / "chunks" / "later").write_text("x")
        provider.data().fill(volume(provider, "loki"), file, Told().ctx)
    assert [path.name for path in (data / "loki" / "chunks").iterdir()] == ["one"]
    assert not list(data.glob(".*"))
    world.ready(provider)


def test_grafanas_password_is_part_of_what_is_kept(world: World, provider: HostProvider) -> None:
    assert provider.data().password() == (world.layout().secrets / "grafana-admin").read_text()
    assert "secrets" in {item.name for item in provider.data().volumes()}
