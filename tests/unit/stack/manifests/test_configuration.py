from __future__ import annotations

import configparser
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from unit.stack.manifests.alloy_syntax import Block, parse
from unit.stack.manifests.manifests import BASE, COMPONENTS, container, kustomization, of_kind, read


def listening(address: str) -> bool:
    """Whether a Service of ours has that name and that port."""
    host, _, port = address.rpartition(":")
    services = of_kind("Service")
    return host in services and int(port) in {p["port"] for p in services[host]["spec"]["ports"]}


def data_folder(component: str) -> str:
    return next(str(m["mountPath"]) for m in container(component)["volumeMounts"] if m["name"] == "data")


def paths(config: Any) -> list[str]:
    """Every value that is an absolute path."""
    if isinstance(config, dict):
        return [path for value in config.values() for path in paths(value)]
    if isinstance(config, list):
        return [path for value in config for path in paths(value)]
    return [config] if isinstance(config, str) and config.startswith("/") else []


@pytest.mark.parametrize("component", ["mimir", "loki", "tempo"])
def test_a_store_keeps_everything_on_its_volume(component: str) -> None:
    found = paths(read(f"{component}/{component}.yaml"))
    assert found
    assert all(f"{path}/".startswith(f"{data_folder(component)}/") for path in found)


@pytest.mark.parametrize("component", ["mimir", "loki", "tempo"])
def test_a_store_listens_where_its_service_expects_it(component: str) -> None:
    config = read(f"{component}/{component}.yaml")
    assert listening(f"{component}:{config['server']['http_listen_port']}")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_program_is_given_the_file_that_its_config_map_holds(component: str) -> None:
    mounts = {m["name"]: m["mountPath"] for m in container(component)["volumeMounts"]}
    (file,) = next(m for m in kustomization()["configMapGenerator"] if m["name"] == component)["files"]
    told = container(component).get("args", []) + [e.get("value", "") for e in container(component)["env"]]
    assert any(word.endswith(f"{mounts['config']}/{file.split('/')[-1]}") for word in told)


def test_mimir_takes_and_shows_samples_older_than_itself() -> None:
    config = read("mimir/mimir.yaml")
    assert config["multitenancy_enabled"] is False
    assert config["limits"]["out_of_order_time_window"] == "30d"
    assert config["limits"]["query_ingesters_within"] == "0s"
    assert config["querier"]["query_store_after"] == "0s"
    assert config["blocks_storage"]["bucket_store"]["ignore_blocks_within"] == "0s"
    assert {"ingestion_rate", "ingestion_burst_size"}.isdisjoint(config["limits"]), "0 would refuse everything"


def test_one_replica_neither_waits_for_others_nor_looks_for_copies() -> None:
    mimir, loki = read("mimir/mimir.yaml"), read("loki/loki.yaml")
    assert mimir["ingester"]["ring"]["replication_factor"] == 1
    assert mimir["store_gateway"]["sharding_ring"]["replication_factor"] == 1
    assert mimir["ingester"]["ring"]["min_ready_duration"] == "0s"
    assert loki["common"]["replication_factor"] == 1
    assert loki["ingester"]["lifecycler"]["min_ready_duration"] == "0s"
    assert loki["frontend"]["scheduler_dns_lookup_period"] == "1s", "/ready waits until it has found its own scheduler"


def test_nothing_reports_home() -> None:
    assert read("mimir/mimir.yaml")["usage_stats"]["enabled"] is False
    assert read("loki/loki.yaml")["analytics"]["reporting_enabled"] is False
    assert read("tempo/tempo.yaml")["usage_report"]["reporting_enabled"] is False
    assert "--disable-reporting" in container("alloy")["args"]
    grafana = grafana_ini()
    for option in ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"):
        assert not grafana.getboolean("analytics", option)
    assert grafana.getboolean("security", "disable_gravatar")
    assert not grafana.getboolean("news", "news_feed_enabled")


def grafana_ini() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=True, interpolation=None)
    found.read_string((BASE / "grafana/grafana.ini").read_text())
    return found


def test_grafana_keeps_the_data_source_plugins_of_its_image() -> None:
    # On a read-only file system, replacing them at start stops the running one and leaves none.
    assert grafana_ini().getboolean("plugins", "preinstall_disabled")
    assert not grafana_ini().getboolean("plugins", "preinstall_auto_update")


def test_nobody_signs_up_and_no_password_is_written_down() -> None:
    assert not grafana_ini().getboolean("users", "allow_sign_up")
    assert "admin_password" not in grafana_ini()["security"]


def datasources() -> dict[str, Any]:
    return {source["uid"]: source for source in read("grafana/datasources.yaml")["datasources"]}


def test_the_datasources_are_those_that_dashboards_name() -> None:
    assert {uid: source["type"] for uid, source in datasources().items()} == {
        "mimir": "prometheus",
        "loki": "loki",
        "tempo": "tempo",
    }
    assert [uid for uid, source in datasources().items() if source.get("isDefault")] == ["mimir"]
    assert datasources()["mimir"]["url"].endswith("/prometheus")
    assert all(listening(urlsplit(source["url"]).netloc) for source in datasources().values())


def test_metrics_logs_and_traces_are_linked() -> None:
    json_data = {uid: source["jsonData"] for uid, source in datasources().items()}
    assert json_data["tempo"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert {f["datasourceUid"] for f in json_data["loki"]["derivedFields"]} == {"tempo"}
    assert {d["datasourceUid"] for d in json_data["mimir"]["exemplarTraceIdDestinations"]} == {"tempo"}
    # A single dollar sign would be expanded to nothing.
    assert all(f["url"].startswith("$$") for f in json_data["loki"]["derivedFields"])


def test_the_dashboard_provider_reads_the_folder_of_the_dashboards() -> None:
    (provider,) = read("grafana/dashboard-providers.yaml")["providers"]
    mounts = {m["name"]: m["mountPath"] for m in container("grafana")["volumeMounts"]}
    assert provider["folder"] == "ContextCore"
    assert provider["options"]["path"] == mounts["dashboards"]
    for path in (BASE / "grafana").rglob("*.json"):
        json.loads(path.read_text())


def components() -> dict[str, Block]:
    return {f"{b.name}.{b.label}": b for b in parse((BASE / "alloy/config.alloy").read_text())}


def references(block: Block) -> list[str]:
    lists = [value for value in block.values.values() if isinstance(value, list)]
    return [word for words in lists for word in words] + [r for inner in block.blocks for r in references(inner)]


def test_alloy_hands_each_signal_to_its_store() -> None:
    found = components()
    assert found["prometheus.remote_write.mimir"].block("endpoint").values == {"url": "http://mimir:9009/api/v1/push"}
    assert found["otelcol.exporter.otlphttp.loki"].block("client").values == {"endpoint": "http://loki:3100/otlp"}
    tempo = found["otelcol.exporter.otlp.tempo"].block("client")
    assert tempo.block("tls").values == {"insecure": "true"}
    assert listening(str(tempo.values["endpoint"]))
    assert listening("mimir:9009")
    assert listening("loki:3100")


def test_alloy_refers_to_components_that_exist() -> None:
    found = components()
    for block in found.values():
        for reference in references(block):
            target, _, export = reference.rpartition(".")
            assert target in found
            assert export == ("receiver" if target.startswith("prometheus.") else "input")


def test_alloy_listens_where_its_services_expect_it() -> None:
    receiver = components()["otelcol.receiver.otlp.default"]
    assert receiver.block("grpc").values == {"endpoint": "0.0.0.0:4317"}
    assert receiver.block("http").values == {"endpoint": "0.0.0.0:4318"}
    assert "--server.http.listen-addr=0.0.0.0:12345" in container("alloy")["args"]
    assert f"--storage.path={data_folder('alloy')}" in container("alloy")["args"]


def test_tempo_listens_to_alloy() -> None:
    otlp = read("tempo/tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]
    assert otlp == {"grpc": {"endpoint": "0.0.0.0:4317"}, "http": {"endpoint": "0.0.0.0:4318"}}


@pytest.mark.parametrize("bad", ['a "b" {', "a = 1 }", 'a "b" { c = [', "x = y", 'a "b" { c = "d }'])
def test_malformed_alloy_is_told_from_good(bad: str) -> None:
    with pytest.raises(ValueError, match=r"Alloy|expected|outside"):
        parse(bad)
