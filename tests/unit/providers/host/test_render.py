from __future__ import annotations

import configparser
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import Program
from contextcore_install.providers.host.release import environment, write
from contextcore_install.providers.host.render import HostRelease, grafana_home
from contextcore_install.stack.catalogue import COMPONENTS, METRICS_STORES, memory_shares, resolve_ports

EVERY = tuple(component.name for component in COMPONENTS)


def release(store: str = "victoria-metrics", components: tuple[str, ...] = EVERY) -> HostRelease:
    programs = {name: Program(name, Path("/opt/bin") / name, "1.0.0") for name in components}
    chosen = next(item for item in METRICS_STORES if item.name == store)
    return HostRelease(Layout("c", Path("/home/u/.contextcore/clusters/c/host")), resolve_ports({}), programs, chosen)


def alloy_pipeline(rendered: HostRelease) -> str:
    return rendered.render("alloy").files["config.alloy"]


def document(rendered: HostRelease, component: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rendered.render(component).files[file])
    return found


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("store", [item.name for item in METRICS_STORES])
@pytest.mark.parametrize("component", EVERY)
def test_everything_listens_on_loopback_only(store: str, component: str) -> None:
    rendered = release(store).render(component)
    text = "\n".join([*rendered.argv, *rendered.files.values()])
    assert "0.0.0.0" not in text
    assert "localhost" not in text
    assert not re.search(r"[\"=\s]:\d{4,5}\b", text)


@pytest.mark.parametrize("store", [item.name for item in METRICS_STORES])
@pytest.mark.parametrize("component", EVERY)
def test_paths_are_within_the_clusters_folder(store: str, component: str) -> None:
    rendered = release(store).render(component)
    text = "\n".join([*rendered.argv[1:], *rendered.files.values()])
    for path in re.findall(r"(?<![\w.:/])/(?:[\w.-]+/)+[\w.-]+", text):
        if not path.startswith(("/api/", "/ready", "/otlp", "/d/")):
            assert path.startswith("/home/u/.contextcore/clusters/c/host/"), path


def test_victoria_metrics_shows_samples_at_once_and_counts_a_resent_one_once() -> None:
    argv = release().render("mimir").argv
    assert "-search.latencyOffset=0s" in argv
    assert "-dedup.minScrapeInterval=1ms" in argv
    assert "-httpListenAddr=127.0.0.1:9009" in argv
    assert release().render("mimir").files == {}


def test_prometheus_takes_remote_writes_from_the_past() -> None:
    rendered = release("prometheus")
    assert "--web.enable-remote-write-receiver" in rendered.render("mimir").argv
    config = document(rendered, "mimir", "prometheus.yaml")
    assert config["storage"]["tsdb"]["out_of_order_time_window"] == "30d"


def test_mimir_is_a_single_one_that_takes_and_shows_the_past() -> None:
    rendered = release("mimir")
    config = document(rendered, "mimir", "mimir.yaml")
    assert config["multitenancy_enabled"] is False
    assert config["ingester"]["ring"]["replication_factor"] == 1
    assert config["ingester"]["ring"]["min_ready_duration"] == "0s"
    assert config["store_gateway"]["sharding_ring"]["replication_factor"] == 1
    assert config["limits"]["out_of_order_time_window"] == "30d"
    assert config["limits"]["query_ingesters_within"] == "0s"
    assert config["querier"]["query_store_after"] == "0s"
    assert config["blocks_storage"]["bucket_store"]["ignore_blocks_within"] == "0s"
    assert "-query-frontend.instance-addr=127.0.0.1" in rendered.render("mimir").argv


def test_mimirs_folders_do_not_contain_each_other() -> None:
    config = document(release("mimir"), "mimir", "mimir.yaml")
    folders = [Path(text) for text in strings(config) if text.startswith("/") and not text.endswith(".log")]
    assert len(set(folders)) == len(folders)
    assert not [pair for pair in ((a, b) for a in folders for b in folders) if pair[0] in pair[1].parents]


def test_loki_answers_queries_on_a_loopback_only_machine() -> None:
    config = document(release(), "loki", "loki.yaml")
    assert config["common"]["instance_addr"] == "127.0.0.1"
    assert config["frontend"] == {"address": "127.0.0.1", "scheduler_dns_lookup_period": "1s"}
    assert config["analytics"]["reporting_enabled"] is False


def test_tempo_leaves_the_otlp_ports_to_alloy() -> None:
    rendered = release()
    protocols = document(rendered, "tempo", "tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]
    assert protocols["grpc"]["endpoint"] == "127.0.0.1:14317"
    pipeline = alloy_pipeline(rendered)
    assert 'endpoint = "127.0.0.1:4317"' in pipeline
    assert 'endpoint = "127.0.0.1:14317"' in pipeline


@pytest.mark.parametrize(
    ("store", "path"),
    [("mimir", "/api/v1/push"), ("victoria-metrics", "/api/v1/write"), ("prometheus", "/api/v1/write")],
)
def test_alloy_writes_to_the_store_that_is_there(store: str, path: str) -> None:
    assert f'url = "http://127.0.0.1:9009{path}"' in alloy_pipeline(release(store))


def test_alloy_sends_only_to_what_runs() -> None:
    pipeline = alloy_pipeline(release(components=("mimir", "alloy")))
    assert "logs" not in pipeline
    assert "traces" not in pipeline
    assert pipeline.count("{") == pipeline.count("}")
    for target in re.findall(r"\[([\w.]+)\.(?:input|receiver)\]", alloy_pipeline(release())):
        kind, _, label = target.rpartition(".")
        assert f'{kind} "{label}" {{' in alloy_pipeline(release()), target


def test_grafana_is_configured_to_work_with_the_others() -> None:
    rendered = release()
    files = rendered.render("grafana").files
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(files["grafana.ini"])
    assert ini["server"]["http_addr"] == "127.0.0.1"
    assert ini["analytics"]["reporting_enabled"] == "false"
    assert ini["analytics"]["check_for_updates"] == "false"
    assert ini["security"]["admin_password"].startswith("$__file{")
    sources = json.loads(files["provisioning/datasources/contextcore.yaml"])["datasources"]
    assert [source["uid"] for source in sources] == ["mimir", "loki", "tempo"]
    assert sources[0]["isDefault"]
    assert sources[0]["url"] == "http://127.0.0.1:9009/prometheus"
    provider = json.loads(files["provisioning/dashboards/contextcore.yaml"])["providers"][0]
    assert provider["folder"] == "ContextCore"
    assert json.loads(files["dashboards/installation.json"])["uid"] == "contextcore-installation"
    assert json.loads(files["provisioning/alerting/rules.json"])["groups"]


def test_grafana_is_told_where_alerts_go_where_somebody_said_so(tmp_path: Path) -> None:
    said = "apiVersion: 1\ncontactPoints: []\n"
    rendered = replace(release(), layout=Layout("c", tmp_path / "host"), contact_points=said)
    path = "provisioning/alerting/contact-points.yaml"
    assert rendered.render("grafana").files[path] == said
    assert path not in release().render("grafana").files
    assert said not in repr(rendered)
    rendered.layout.make()
    write(rendered)
    written = rendered.layout.config / "grafana" / path
    assert written.read_text() == said
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_grafana_asks_a_plain_prometheus_without_a_prefix() -> None:
    rendered = release("prometheus", ("mimir", "grafana"))
    sources = json.loads(rendered.render("grafana").files["provisioning/datasources/contextcore.yaml"])["datasources"]
    assert [source["uid"] for source in sources] == ["mimir"]
    assert sources[0]["url"] == "http://127.0.0.1:9009"


def test_grafanas_home_is_found_where_archives_and_homebrew_put_it(tmp_path: Path) -> None:
    for place, program in (("archive", "archive/bin/grafana"), ("cellar/share/grafana", "cellar/bin/grafana")):
        (tmp_path / place / "conf").mkdir(parents=True)
        (tmp_path / place / "conf" / "defaults.ini").write_text("")
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text("")
        link = tmp_path / f"link-{place.partition('/')[0]}"
        link.symlink_to(tmp_path / program)
        assert grafana_home(link) == tmp_path / place


def test_a_fingerprint_changes_with_what_it_stands_for() -> None:
    one = release()
    assert one.render("mimir").fingerprint == release().render("mimir").fingerprint
    other = HostRelease(one.layout, {**one.ports, "mimir": 9010}, one.programs, one.store)
    assert one.render("mimir").fingerprint != other.render("mimir").fingerprint
    # Those that send to it are configured anew as well.
    assert one.render("grafana").fingerprint != other.render("grafana").fingerprint
    updated = replace(one, programs={**one.programs, "mimir": replace(one.programs["mimir"], version="1.0.1")})
    assert one.render("mimir").fingerprint != updated.render("mimir").fingerprint


def test_the_environment_overrides_no_configuration_and_no_proxy_stands_between() -> None:
    made = environment({"GF_SERVER_HTTP_PORT": "1", "PATH": "/bin", "NO_PROXY": "corp"})
    assert made == {"PATH": "/bin", "NO_PROXY": "corp,127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


@pytest.mark.parametrize("store", [item.name for item in METRICS_STORES])
def test_all_components_together_make_do_with_one_and_a_half_gib(store: str) -> None:
    limits = [release(store).render(name).environ["GOMEMLIMIT"] for name in EVERY]
    caches = 128 if store == "victoria-metrics" else 0
    assert all(limit.endswith("MiB") for limit in limits)
    assert sum(int(limit.removesuffix("MiB")) for limit in limits) + caches <= 1536
    assert store != "victoria-metrics" or f"-memory.allowedBytes={caches}MiB" in release(store).render("mimir").argv


def test_more_memory_is_shared_among_them() -> None:
    larger = replace(release(), memory=memory_shares(3072))
    assert [larger.render(name).environ["GOMEMLIMIT"] for name in ("mimir", "loki")] == ["512MiB", "512MiB"]
    assert "-memory.allowedBytes=256MiB" in larger.render("mimir").argv
    assert larger.render("loki").fingerprint != release().render("loki").fingerprint
    for unusable in ("many", -1, 0, True, 2.5, None):
        assert memory_shares(unusable) == memory_shares(1536)


def test_a_component_keeps_nothing_in_large_caches() -> None:
    mimir, loki = document(release("mimir"), "mimir", "mimir.yaml"), document(release(), "loki", "loki.yaml")
    index = mimir["blocks_storage"]["bucket_store"]["index_cache"]["inmemory"]
    assert index["max_size_bytes"] == 32 * 1024 * 1024
    assert loki["chunk_store_config"]["chunk_cache_config"]["embedded_cache"] == {"enabled": True, "max_size_mb": 32}
    assert loki["query_range"]["results_cache"]["cache"]["embedded_cache"]["max_size_mb"] == 8


def test_nothing_reports_to_anybody() -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(release().render("grafana").files["grafana.ini"])
    for section, key in (("analytics", "reporting_enabled"), ("analytics", "check_for_updates")):
        assert ini[section][key] == "false"
    assert ini["analytics"]["check_for_plugin_updates"] == ini["news"]["news_feed_enabled"] == "false"
    assert ini["snapshots"]["external_enabled"] == "false"
    assert ini["plugins"]["preinstall_disabled"] == ini["plugins"]["public_key_retrieval_disabled"] == "true"
    assert document(release("mimir"), "mimir", "mimir.yaml")["usage_stats"]["enabled"] is False
    assert document(release(), "tempo", "tempo.yaml")["usage_report"]["reporting_enabled"] is False
    assert "--disable-reporting" in release().render("alloy").argv
