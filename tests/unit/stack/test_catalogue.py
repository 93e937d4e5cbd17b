from __future__ import annotations

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.stack.catalogue import (
    COMPONENTS,
    METRICS_STORE,
    PORTS,
    chosen_components,
    component,
    in_order_of_use,
    resolve_ports,
)


def test_defaults_collide_with_nothing() -> None:
    ports = resolve_ports({})
    assert len(set(ports.values())) == len(ports)
    assert (ports["grafana"], ports["mimir"], ports["loki"], ports["tempo"]) == (3000, 9009, 3100, 3200)
    assert (ports["alloy"], ports["alloy-http"], ports["alloy-ui"]) == (4317, 4318, 12345)


def test_node_ports_are_in_their_range_and_unique() -> None:
    node_ports = [port.node_port for port in PORTS.values() if port.node_port]
    assert len(set(node_ports)) == len(node_ports) == 6
    assert all(30_000 <= port < 32_768 for port in node_ports)


def test_every_component_is_whole() -> None:
    assert component(METRICS_STORE) is COMPONENTS[0]
    for item in COMPONENTS:
        assert item.ready_port in {port.key for port in item.ports}
        assert item.version.removeprefix("v") in item.image
        assert item.ready_path.startswith("/")


def test_a_choice_replaces_the_default() -> None:
    assert resolve_ports({"alloy-ui": 9999})["alloy-ui"] == 9999


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"nginx": 80}, "nginx"),
        ({"mimir": 0}, "mimir=0"),
        ({"mimir": 65_536}, "65536"),
        ({"mimir": -1}, "-1"),
        ({"mimir": 3000}, "both"),
        ({"mimir": 7000, "loki": 7000}, "both"),
    ],
)
def test_a_choice_that_cannot_be_is_a_usage_error(chosen: dict[str, int], says: str) -> None:
    with pytest.raises(InstallError) as caught:
        resolve_ports(chosen)
    assert caught.value.exit_code is ExitCode.USAGE
    assert says in caught.value.message
    assert caught.value.hint


def test_a_list_of_components_always_has_a_metrics_store() -> None:
    assert chosen_components("loki, grafana") == {"mimir", "loki", "grafana"}
    assert chosen_components("mimir") == {"mimir"}
    assert chosen_components("grafana,all") == {component.name for component in COMPONENTS}


@pytest.mark.parametrize("names", ["nginx", "loki,Grafana", "", ",", "loki grafana"])
def test_a_name_that_is_no_components_is_a_usage_error_with_the_names(names: str) -> None:
    with pytest.raises(InstallError) as caught:
        chosen_components(names)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "mimir, loki, tempo, alloy, grafana" in caught.value.hint


def test_what_shows_the_rest_is_pulled_first_and_what_is_not_ours_last() -> None:
    images = [
        "ghcr.io/x:1",
        "r:5000/grafana/alloy:v1",
        "grafana/loki@sha256:1",
        "r:5000/grafana/grafana:13",
        "grafana/mimir:3",
    ]
    names = [image.rpartition("/")[2].partition(":")[0].partition("@")[0] for image in in_order_of_use(images)]
    assert names == ["mimir", "grafana", "loki", "alloy", "x"]
