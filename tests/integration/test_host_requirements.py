"""What preflight says about this machine, and about machines that are not as they should be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.provider import Probe
from kit.host_world import World


def probe(world: World, name: str) -> Probe:
    return next(item for item in world.provider().requirements() if item.id == name).probe()


def test_a_machine_that_is_well_meets_all(world: World) -> None:
    probes = {item.id: item.probe() for item in world.provider().requirements()}
    assert {"platform", "metrics-store", "memory", "disk", "folder", "bin-folder", "clock", "port-mimir"} <= set(probes)
    assert not [finding for found in probes.values() for finding in found.findings if not finding.warning]
    assert "is free" in probes["port-mimir"].evidence
    assert "victoria-metrics" in probes["metrics-store"].evidence
    assert "the stack goes without it" in probes["grafana"].evidence


def test_our_own_port_is_no_conflict(world: World) -> None:
    world.install()
    assert "our own mimir" in probe(world, "port-mimir").evidence


def test_a_port_that_a_listener_on_all_addresses_holds_is_found(world: World) -> None:
    import socket

    with socket.create_server(("0.0.0.0", world.ports["mimir"])):
        [finding] = probe(world, "port-mimir").findings
        assert "is held by" in finding.message
        assert not finding.evidence, "it would say the same again"


def test_only_the_ports_of_what_will_run_are_looked_at(world: World) -> None:
    ids = {item.id for item in world.provider().requirements()}
    assert "port-mimir" in ids
    assert "port-grafana" not in ids
    assert "port-mimir-grpc" not in ids
    world.stands_in("grafana")
    assert "port-grafana" in {item.id for item in world.provider().requirements()}


def test_a_file_where_the_folder_goes_is_in_the_way(world: World) -> None:
    folder = world.cluster_folder()
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    (finding,) = probe(world, "folder").findings
    assert finding.code == "folder-in-the-way"
    assert not finding.evidence  # whose it is explains nothing
    assert finding.remedy is not None
    assert str(folder) in finding.remedy.command


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_almost_full_is_told(tmpfs: Path) -> None:
    world = World(tmpfs / "machine")
    (finding,) = probe(world, "disk").findings
    assert finding.code == "disk-full"
    assert not finding.warning


def test_a_read_only_disk_is_told(tmpfs: Path) -> None:
    world = World(tmpfs / "machine")
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    (finding,) = probe(world, "folder").findings
    assert finding.code == "folder-unwritable"


def test_a_clock_that_went_back_is_a_warning(world: World) -> None:
    world.layout().make()
    later = 4_000_000_000
    os.utime(world.layout().marker, (later, later))
    (finding,) = probe(world, "clock").findings
    assert finding.warning
    assert finding.code == "clock-back"


def test_disk_and_memory_are_those_of_what_will_be_fetched_and_run(world: World) -> None:
    alone = probe(world, "memory").evidence
    world.install_tools, world.components = True, frozenset({"mimir", "loki", "grafana"})
    assert "about 384 wanted" in alone
    assert "about 960 wanted" in probe(world, "memory").evidence
    assert "what is fetched takes about 1650" in probe(world, "disk").evidence
    assert "port-grafana" in {item.id for item in world.provider().requirements()}
    (finding,) = probe(world, "programs").findings
    assert finding.message == "Not on this machine yet: loki, grafana."
    world.components = None
    assert "programs" not in {item.id for item in world.provider().requirements()}, "nobody asked for more than a store"
