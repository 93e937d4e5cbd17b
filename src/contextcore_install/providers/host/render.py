"""What each component is started with: its arguments, its configuration files, its environment.

Configurations are JSON, which every YAML reader takes: values need no quoting rules of ours. Option names are those of
the components' reference documentation (the versions in the catalogue) and, for the metrics stores, also of the
releases that Debian carries (VictoriaMetrics 1.79, Prometheus 2.42).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextcore_install.providers.host import render_grafana
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import Family, Program
from contextcore_install.stack.catalogue import LOOPBACK

RETENTION = "365d"
#: How old a sample may be when it arrives: an installation can be reported days after it began.
BACKFILL = "30d"
_ALONE = {"kvstore": {"store": "inmemory"}, "instance_addr": LOOPBACK}
"""A hash ring of one member, which neither looks for others nor asks the network for an address."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a component is started with. `files` are by path below its configuration folder."""

    argv: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Stands for all of it."""
        return hashlib.sha256(json.dumps([self.argv, sorted(self.files.items())]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class HostRelease:
    """What the configurations are made from: places, ports by key, and the programs that run, by component.

    `contact_points` says where Grafana sends alerts: the text of a provisioning file, empty for nowhere.
    """

    layout: Layout
    ports: Mapping[str, int]
    programs: Mapping[str, Program]
    family: Family
    contact_points: str = field(default="", repr=False)

    def render(self, component: str) -> Rendered:
        """Return what a component is started with."""
        return _RENDERERS[component](self, self.programs[component].path)

    def url(self, key: str) -> str:
        """Return the URL of a port."""
        return f"http://{LOOPBACK}:{self.ports[key]}"

    def config(self, component: str) -> Path:
        """Return a component's configuration folder."""
        return self.layout.config / component

    def data(self, component: str) -> Path:
        """Return a component's data folder; each kind of metrics store has its own."""
        return self.layout.data / (self.family.name if component == "mimir" else component)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _server(release: HostRelease, component: str) -> dict[str, Any]:
    return {
        "http_listen_address": LOOPBACK,
        "http_listen_port": release.ports[component],
        "grpc_listen_address": LOOPBACK,
        "grpc_listen_port": release.ports[f"{component}-grpc"],
    }


def _metrics(release: HostRelease, program: Path) -> Rendered:
    return {"mimir": _mimir, "victoria-metrics": _victoria_metrics, "prometheus": _prometheus}[release.family.name](
        release, program
    )


def _victoria_metrics(release: HostRelease, program: Path) -> Rendered:
    return Rendered(
        (
            str(program),
            f"-httpListenAddr={LOOPBACK}:{release.ports['mimir']}",
            f"-storageDataPath={release.data('mimir')}",
            f"-retentionPeriod={RETENTION}",
            # Else what was just written stays invisible for 30 s.
            "-search.latencyOffset=0s",
            # A sample that is sent twice counts once.
            "-dedup.minScrapeInterval=1ms",
            # Of the machine's memory, for caches; the default of 60 suits a server of its own.
            "-memory.allowedPercent=20",
        )
    )


def _prometheus(release: HostRelease, program: Path) -> Rendered:
    config = {"global": {"scrape_interval": "15s"}, "storage": {"tsdb": {"out_of_order_time_window": BACKFILL}}}
    return Rendered(
        (
            str(program),
            f"--config.file={release.config('mimir') / 'prometheus.yaml'}",
            f"--storage.tsdb.path={release.data('mimir')}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={LOOPBACK}:{release.ports['mimir']}",
            "--web.enable-remote-write-receiver",
        ),
        {"prometheus.yaml": _json(config)},
    )


def _mimir(release: HostRelease, program: Path) -> Rendered:
    data = release.data("mimir")
    config = {
        "multitenancy_enabled": False,
        "usage_stats": {"enabled": False},
        "activity_tracker": {"filepath": str(data / "activity.log")},
        "server": _server(release, "mimir"),
        # Port 0: any free one. Nobody joins, as every ring below is in memory.
        "memberlist": {"bind_addr": [LOOPBACK], "bind_port": 0, "advertise_addr": LOOPBACK},
        "blocks_storage": {
            "backend": "filesystem",
            "filesystem": {"dir": str(data / "blocks")},
            "tsdb": {"dir": str(data / "tsdb")},
            "bucket_store": {"sync_dir": str(data / "tsdb-sync"), "ignore_blocks_within": "0s"},
        },
        "ruler": {"rule_path": str(data / "rules"), "ring": _ALONE},
        "ruler_storage": {"backend": "filesystem", "filesystem": {"dir": str(data / "ruler")}},
        "distributor": {"ring": _ALONE},
        "ingester": {"ring": {**_ALONE, "replication_factor": 1, "min_ready_duration": "0s"}},
        "store_gateway": {"sharding_ring": {**_ALONE, "replication_factor": 1}},
        "compactor": {"data_dir": str(data / "compactor"), "sharding_ring": _ALONE},
        "query_scheduler": {"ring": _ALONE},
        "querier": {"query_store_after": "0s", "ring": _ALONE},
        "limits": {
            "out_of_order_time_window": BACKFILL,
            "query_ingesters_within": "0s",
            "compactor_blocks_retention_period": RETENTION,
        },
    }
    file = release.config("mimir") / "mimir.yaml"
    # Where the query frontend is reached has no place in the file; without it, queries hang on a loopback-only machine.
    argv = (str(program), f"-config.file={file}", f"-query-frontend.instance-addr={LOOPBACK}")
    return Rendered(argv, {file.name: _json(config)})


def _loki(release: HostRelease, program: Path) -> Rendered:
    data = release.data("loki")
    config = {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": _server(release, "loki"),
        "common": {
            "path_prefix": str(data),
            "replication_factor": 1,
            # Without this, queries hang on a machine that has only loopback, though it says it is ready.
            "instance_addr": LOOPBACK,
            "ring": {"kvstore": {"store": "inmemory"}, "instance_addr": LOOPBACK},
            "storage": {
                "filesystem": {"chunks_directory": str(data / "chunks"), "rules_directory": str(data / "rules")}
            },
        },
        "frontend": {"address": LOOPBACK},
        "ingester": {"lifecycler": {"min_ready_duration": "0s"}},
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
    }
    file = release.config("loki") / "loki.yaml"
    return Rendered((str(program), f"-config.file={file}"), {file.name: _json(config)})


def _tempo(release: HostRelease, program: Path) -> Rendered:
    data = release.data("tempo")
    grpc, http = (f"{LOOPBACK}:{release.ports[key]}" for key in ("tempo-otlp", "tempo-otlp-http"))
    config = {
        "server": _server(release, "tempo"),
        "memberlist": {"bind_addr": [LOOPBACK], "bind_port": 0, "advertise_addr": LOOPBACK},
        "distributor": {
            "ring": _ALONE,
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": grpc}, "http": {"endpoint": http}}}},
        },
        "live_store": {
            "ring": _ALONE,
            "partition_ring": {"kvstore": {"store": "inmemory"}},
            "wal": {"path": str(data / "live-store" / "traces")},
            "shutdown_marker_dir": str(data / "live-store" / "shutdown-marker"),
        },
        "backend_scheduler": {"local_work_path": str(data)},
        "storage": {
            "trace": {"backend": "local", "wal": {"path": str(data / "wal")}, "local": {"path": str(data / "blocks")}}
        },
        "usage_report": {"reporting_enabled": False},
    }
    file = release.config("tempo") / "tempo.yaml"
    return Rendered((str(program), f"-config.file={file}"), {file.name: _json(config)})


def _alloy(release: HostRelease, program: Path) -> Rendered:
    file = release.config("alloy") / "config.alloy"
    argv = (
        str(program),
        "run",
        f"--server.http.listen-addr={LOOPBACK}:{release.ports['alloy-ui']}",
        f"--storage.path={release.data('alloy')}",
        "--disable-reporting",
        str(file),
    )
    return Rendered(argv, {file.name: alloy_pipeline(release)})


def alloy_pipeline(release: HostRelease) -> str:
    """Return Alloy's configuration: OTLP in; metrics, logs and traces out to those that run."""
    ports = release.ports
    write_url = release.url("mimir") + release.family.write_path
    outputs = {"metrics": "otelcol.exporter.prometheus.metrics.input"}
    blocks = [
        'otelcol.exporter.prometheus "metrics" {\n  forward_to = [prometheus.remote_write.metrics.receiver]\n}\n',
        f'prometheus.remote_write "metrics" {{\n  endpoint {{\n    url = "{write_url}"\n  }}\n}}\n',
    ]
    if "loki" in release.programs:
        outputs["logs"] = "otelcol.exporter.otlphttp.logs.input"
        blocks.append(
            f'otelcol.exporter.otlphttp "logs" {{\n  client {{\n    endpoint = "{release.url("loki")}/otlp"\n  }}\n}}\n'
        )
    if "tempo" in release.programs:
        outputs["traces"] = "otelcol.exporter.otlp.traces.input"
        blocks.append(
            f'otelcol.exporter.otlp "traces" {{\n  client {{\n    endpoint = "{LOOPBACK}:{ports["tempo-otlp"]}"\n'
            "    tls {\n      insecure = true\n    }\n  }\n}\n"
        )
    listen = "".join(
        f'  {protocol} {{\n    endpoint = "{LOOPBACK}:{ports[key]}"\n  }}\n'
        for protocol, key in (("grpc", "alloy"), ("http", "alloy-http"))
    )
    out = "".join(f"    {signal} = [{target}]\n" for signal, target in outputs.items())
    receiver = f'otelcol.receiver.otlp "in" {{\n{listen}  output {{\n{out}  }}\n}}\n'
    return "\n".join([receiver, *blocks])


def _grafana(release: HostRelease, program: Path) -> Rendered:
    file = release.config("grafana") / "grafana.ini"
    home = render_grafana.home_of(program)
    command = [str(program), "server"] if program.name == "grafana" else [str(program)]
    argv = (*command, *(["--homepath", str(home)] if home else []), "--config", str(file))
    query_url = release.url("mimir") + release.family.query_prefix
    others = {name: release.url(name) for name in ("loki", "tempo") if name in release.programs}
    files = render_grafana.files(
        config=release.config("grafana"),
        data=release.data("grafana"),
        logs=release.layout.logs / "grafana",
        password=release.layout.secrets / "grafana-admin",
        port=release.ports["grafana"],
        datasources={"mimir": query_url, **others},
        contact_points=release.contact_points,
    )
    return Rendered(argv, files)


_RENDERERS = {"mimir": _metrics, "loki": _loki, "tempo": _tempo, "alloy": _alloy, "grafana": _grafana}
