"""Installations of one home share a machine: each new one gets ports that no other has, and keeps them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.providers.kind.engine_info import CLUSTER_LABEL, ROLE_LABEL
from contextcore_install.runtime.selection import BLOCKS
from contextcore_install.stack.catalogue import PORTS
from kit.installation import Installation

PLACES = {key: place for place, key in enumerate(PORTS)}


@pytest.fixture
def usual(installation: Installation) -> Installation:
    """Return an installation that has the usual ports on record, and does not run: its metrics store is missing."""
    place = replace(installation, cluster="usual", ports={})
    refused = place.run("--provider", "host", environ={"PATH": "/bin"})
    assert refused.returncode == 3, refused.stdout
    assert place.status()["settings"]["ports"] == {}
    return place


@pytest.fixture
def pair(usual: Installation) -> Iterator[tuple[Installation, Installation]]:
    """Return two more in the same home, not yet installed."""
    places = replace(usual, cluster="one"), replace(usual, cluster="two")
    yield places
    for place in places:
        place.remove()


def kept(place: Installation) -> dict[str, int]:
    ports: dict[str, int] = place.status()["settings"]["ports"]
    return ports


def is_a_block(ports: dict[str, int]) -> bool:
    first = ports["mimir"] - PLACES["mimir"]
    return first in BLOCKS and ports == {key: first + place for key, place in PLACES.items()}


def listed(place: Installation) -> dict[str, dict[str, Any]]:
    told = json.loads(place.run("clusters", "--output", "json").stdout)
    return {row["cluster"]: row for row in told["clusters"]}


def test_two_that_are_installed_at_once_run_side_by_side_and_keep_their_ports(
    pair: tuple[Installation, Installation],
) -> None:
    running = [place.start("--provider", "host") for place in pair]
    said = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    ports = [kept(place) for place in pair]
    assert all(map(is_a_block, ports))
    assert ports[0]["mimir"] != ports[1]["mimir"]
    for events, chosen in zip(said, ports, strict=True):
        told = [event["text"] for event in map(json.loads, events.splitlines()) if event["kind"] == "notice"]
        assert any("usual has the usual ports" in text and f"grafana {chosen['grafana']}" in text for text in told)

    rows = listed(pair[0])
    assert [rows[place.cluster]["ports"] for place in pair] == ports
    assert rows["usual"]["ports"]["grafana"] == PORTS["grafana"].host
    shown = pair[0].run("clusters").stdout
    assert f"{min(ports[0].values())} to {max(ports[0].values())}" in shown

    for place, chosen in zip(pair, ports, strict=True):
        again = place.run("--resume")
        assert "nothing had to be done" in again.stdout, again.stdout
        assert place.run("verify").returncode == 0
        assert kept(place) == chosen

    assert pair[1].run("--reset").returncode == 0
    found = pair[1].run("--provider", "host")
    assert found.returncode == 0, found.stdout
    assert kept(pair[1]) == ports[1]


def test_a_plan_names_the_ports_that_would_be_chosen_and_given_ones_win(usual: Installation) -> None:
    place = replace(usual, cluster="one")
    given = ["--provider", "host", "--port", "mimir=20555"]
    planned = json.loads(place.run("plan", *given, "--output", "json").stdout)["ports"]
    assert planned["mimir"] == 20555
    assert is_a_block({**planned, "mimir": planned["grafana"] - PLACES["grafana"] + PLACES["mimir"]})
    assert "usual has the usual ports" in place.run("plan", *given).stdout
    assert not place.state.exists()


@pytest.mark.parametrize(
    ("flags", "keys"),
    [
        (["--provider", "kind"], {key for key, port in PORTS.items() if port.node_port}),
        (["--provider", "kube-context", "--context", "somebodys"], set()),
    ],
)
def test_only_ports_that_a_provider_has_on_this_machine_are_chosen(
    usual: Installation, flags: list[str], keys: set[str]
) -> None:
    place = replace(usual, cluster="one")
    planned = json.loads(place.run("plan", *flags, "--output", "json").stdout)["ports"]
    assert planned.keys() == keys
    assert all(port in range(BLOCKS.start, BLOCKS.stop) for port in planned.values())


def test_where_no_installation_has_them_the_usual_ports_stay_the_usual_ones(installation: Installation) -> None:
    assert installation.install().returncode == 0
    other = replace(installation, cluster="other")
    planned = json.loads(other.run("plan", "--provider", "host", "--output", "json").stdout)
    assert planned["ports"] == {}


ENGINE = """\
#!/bin/sh
case "$1" in ps) echo id1;; inspect) cat "${0%/*}/node.json";; esac
"""


def in_kind(place: Installation, grafana: int) -> Installation:
    """Return an installation for whose cluster an engine shows a node with Grafana on a port."""
    programs = place.folder / "programs"
    programs.mkdir()
    (programs / "docker").write_text(ENGINE)
    (programs / "docker").chmod(0o755)
    bound = {"30000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(grafana)}]}
    labels = {CLUSTER_LABEL: place.cluster, ROLE_LABEL: "control-plane"}
    node = {"Id": "id1", "Config": {"Labels": labels}, "HostConfig": {"PortBindings": bound}}
    (programs / "node.json").write_text(json.dumps([node]))
    return replace(place, path=(str(programs),), ports={})


def test_a_cluster_that_is_there_with_the_usual_ports_keeps_them_beside_others(usual: Installation) -> None:
    place = in_kind(replace(usual, cluster="one"), PORTS["grafana"].host)
    planned = json.loads(place.run("plan", "--provider", "kind", "--output", "json").stdout)
    assert planned["ports"] == {}


@pytest.fixture
def moved_in_vain(installation: Installation) -> Installation:
    """Return an installation in kind with Grafana on 3005, whose last run asked for 3001 and was refused."""
    place = in_kind(installation, 3005)
    refused = {"code": "ports-fixed", "message": "The cluster was made with other ports", "hint": ""}
    state = {
        "version": "1.0",
        "cluster_name": installation.cluster,
        "installation_id": "1",
        "provider": "kind",
        "settings": {"provider": "kind", "ports": {"grafana": 3001}},
        "steps": {"cluster_create": {"status": "failed", "attempts": 1, "error": refused}},
    }
    installation.files.mkdir(parents=True, mode=0o700)
    installation.state.write_text(json.dumps(state))
    return place


def test_a_port_that_a_cluster_refused_is_not_asked_for_for_ever(moved_in_vain: Installation) -> None:
    def planned(*flags: str) -> dict[str, int]:
        told = moved_in_vain.run("plan", *flags, "--output", "json")
        ports: dict[str, int] = json.loads(told.stdout)["ports"]
        return ports

    assert planned() == {"grafana": 3005}
    assert planned("--port", "grafana=3002") == {"grafana": 3002}


def test_a_port_that_another_program_holds_is_not_asked_for_for_ever(installation: Installation) -> None:
    assert installation.install().returncode == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        asked_for = f"mimir={other.getsockname()[1]}"
        assert installation.run("--port", asked_for).returncode == 3
        resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert installation.status()["settings"]["ports"] == installation.ports
