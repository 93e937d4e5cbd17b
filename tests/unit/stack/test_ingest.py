"""Where metrics, spans and lines go, by where the components are reached."""

from __future__ import annotations

from contextcore_install.core.provider import Endpoint, url_of
from contextcore_install.stack.catalogue import OTLP_PATH, resolve_ports, traces_url

PORTS = resolve_ports({"alloy-http": 5001, "tempo-otlp-http": 5002})
MIMIR = Endpoint("mimir", "http://127.0.0.1:1", "/ready")
LOKI = Endpoint("loki", "http://127.0.0.1:2", "/ready")
TEMPO = Endpoint("tempo", "http://127.0.0.1:3", "/ready")
ALLOY = Endpoint("alloy", "http://127.0.0.1:4", "/-/ready")


def test_processes_of_this_machine_take_spans_on_their_own_ports() -> None:
    assert traces_url([MIMIR, LOKI, TEMPO, ALLOY], PORTS) == "http://127.0.0.1:5001"
    assert traces_url([MIMIR, LOKI, TEMPO], PORTS) == "http://127.0.0.1:5002", "without a collector"
    assert traces_url([MIMIR, LOKI, ALLOY], PORTS) is None, "a collector that has nobody to hand spans on to"


def test_what_is_reached_through_something_takes_spans_where_the_provider_says() -> None:
    page = Endpoint("alloy", "http://127.0.0.1:4", "/-/ready", "a node's port")
    intake = Endpoint("alloy", "http://127.0.0.1:5", OTLP_PATH, "a node's port")
    assert traces_url([page], PORTS) is None
    assert traces_url([page, intake], PORTS) == "http://127.0.0.1:5"


def test_what_has_no_way_takes_nothing() -> None:
    assert url_of([Endpoint("mimir", "http://127.0.0.1:0", "/ready")], "mimir") is None
    assert url_of([Endpoint("loki", "http://127.0.0.1:0", "/ready")], "loki") is None
    assert traces_url([Endpoint("alloy", "http://127.0.0.1:0", OTLP_PATH, "a forward")], PORTS) is None


def test_each_store_is_known_by_its_component() -> None:
    assert url_of([LOKI, MIMIR], "mimir") == MIMIR.base_url
    assert url_of([MIMIR, LOKI], "loki") == LOKI.base_url
    assert url_of([MIMIR], "loki") is None
