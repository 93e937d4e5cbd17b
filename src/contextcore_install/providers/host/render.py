"""How each program is started: its arguments, and its configuration files.

`RECIPES` has one record for each program; its configuration is in config/, under its name. Option names are those of
the components' reference documentation (the versions in the catalogue) and, for the metrics stores, also of the
releases that Debian carries (VictoriaMetrics 1.79, Prometheus 2.42).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.tables import read_table
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import Program
from contextcore_install.stack import provisioned
from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE, MetricsStore, memory_shares

CONFIG = Path(__file__).parent / "config"
RETENTION = "365d"
BACKFILL = "30d"  # how old a sample may be when it arrives: an installation can be reported days after it began

DASHBOARD_FOLDER = "ContextCore"
PACKAGED_PLUGINS = Path("/var/lib/grafana/plugins-bundled")
CONTACT_POINTS = "contact-points.yaml"  # where Grafana sends alerts; it holds secrets


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a component is started with. `files` are by path below its configuration folder.

    `environ` are the variables that it has of us, whatever the user's are. After an update another `version` of its
    program is in the same place.
    """

    argv: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @property
    def fingerprint(self) -> str:
        everything = [self.argv, sorted(self.files.items()), self.environ, self.version]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class HostRelease:
    """What the configurations are made from: places, ports by key, and the programs that run, by component.

    `contact_points` says where Grafana sends alerts: the text of a provisioning file, empty for nowhere. `memory` is in
    MiB.
    """

    layout: Layout
    ports: Mapping[str, int]
    programs: Mapping[str, Program]
    store: MetricsStore
    contact_points: str = field(default="", repr=False)
    memory: Mapping[str, int] = field(default_factory=lambda: memory_shares(None))

    @property
    def startable(self) -> Sequence[str]:
        """The components that can be started; the others run on as they are."""
        return [name for name, program in self.programs.items() if not program.is_gone]

    def render(self, component: str) -> Rendered:
        """Return what a component is started with."""
        found = self.programs[component]
        program = found.path
        kind = self.store.name if component == METRICS_STORE else component
        recipe, variables = RECIPES[kind], self.variables(component)
        leading = recipe.leading(program) if recipe.leading else ()
        arguments = (Template(argument).substitute(variables) for argument in recipe.arguments)
        files = recipe.files(self, variables) if recipe.files else _yaml(kind, variables)
        heap_mib = self.memory[component] - (self.caches_mib if recipe.has_caches else 0)
        environ = {"GOMEMLIMIT": f"{heap_mib}MiB"}
        return Rendered((str(program), *leading, *arguments), files, environ, found.version)

    @property
    def caches_mib(self) -> int:
        """What the caches of a metrics store take of its memory, if they are not in Go's heap."""
        return self.memory[METRICS_STORE] // 3

    def variables(self, component: str) -> dict[str, Any]:
        """Return what templates refer to: the component's folders, and all ports by their keys."""
        return {
            "config": str(self.config(component)),
            "data": str(self.data(component)),
            "logs": str(self.layout.logs / component),
            "password": str(self.layout.grafana_password),
            "retention": RETENTION,
            "backfill": BACKFILL,
            "caches_mib": self.caches_mib,
            "write_url": self.url("mimir") + self.store.write_path,
            **{key.replace("-", "_"): port for key, port in self.ports.items()},
        }

    def url(self, key: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[key]}"

    def config(self, component: str) -> Path:
        """Return a component's configuration folder."""
        return self.layout.config / component

    def data(self, component: str) -> Path:
        """Return a component's data folder; each kind of metrics store has its own."""
        return self.layout.data / (self.store.name if component == METRICS_STORE else component)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a program is started: `leading` arguments, which depend on where it is, then `arguments`, and its files.

    Unless `files` returns them, there is one file: config/NAME.toml, if that exists, rendered as NAME.yaml.
    `has_caches` says that it has some beside Go's heap.
    """

    arguments: tuple[str, ...]
    files: Callable[[HostRelease, Mapping[str, Any]], dict[str, str]] | None = None
    leading: Callable[[Path], tuple[str, ...]] | None = None
    has_caches: bool = False


def _text(name: str, variables: Mapping[str, Any]) -> str:
    return Template((CONFIG / name).read_text(encoding="utf-8")).substitute(variables)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def _yaml(name: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return config/NAME.toml as NAME.yaml: JSON, in which values need no quoting rules of ours."""
    source = CONFIG / f"{name}.toml"
    if not source.is_file():
        return {}
    document = read_table(source)
    return {f"{name}.yaml": _json(_filled(document, variables))}


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Substitute the variables in the texts of a document; a text that is one variable becomes its value."""
    if isinstance(value, dict):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    alone = value.startswith("$") and value[1:] in variables
    return variables[value[1:]] if alone else Template(value).substitute(variables)


def alloy_files(release: HostRelease, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return Alloy's configuration: OTLP in; metrics, logs and traces out to those that run."""
    outputs = [item for item in _ALLOY_OUTPUTS if item[0] in release.programs]
    inputs = "\n".join(f"    {signal} = [{target}]" for _, signal, target in outputs)
    blocks = [
        _text("alloy/input.alloy", {**variables, "outputs": inputs}),
        *(_text(f"alloy/{signal}.alloy", variables) for _, signal, _ in outputs),
    ]
    return {"config.alloy": "\n".join(blocks)}


_ALLOY_OUTPUTS = (
    ("mimir", "metrics", "otelcol.exporter.prometheus.metrics.input"),
    ("loki", "logs", "otelcol.exporter.otlphttp.logs.input"),
    ("tempo", "traces", "otelcol.exporter.otlp.traces.input"),
)
"""Who takes what from Alloy, and the block that it passes through."""


def grafana_home(program: Path) -> Path | None:
    """Return the folder with Grafana's own `conf` and `public`; None leaves it to Grafana to find them.

    Upstream's archive has `bin/grafana` in it; the deb and rpm packages put a wrapper on PATH and the home into
    /usr/share/grafana; Homebrew links into PREFIX/opt/grafana, whose home is `share/grafana`.
    """
    real = program.resolve()
    candidates = (real.parent.parent, real.parent.parent / "share" / "grafana", Path("/usr/share/grafana"))
    return next((home for home in candidates if (home / "conf" / "defaults.ini").is_file()), None)


def _grafana_leading(program: Path) -> tuple[str, ...]:
    home = grafana_home(program)
    return *(["server"] if program.name == "grafana" else []), *(["--homepath", str(home)] if home else [])


def grafana_files(release: HostRelease, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return Grafana's own settings, and what it provisions at its start; like all files, for this user alone."""
    folder = {"path": str(release.config("grafana") / "dashboards")}
    provider = {"name": "contextcore", "type": "file", "folder": DASHBOARD_FOLDER, "options": folder}
    alerting = dict(provisioned.alerting())
    if release.contact_points:
        alerting[CONTACT_POINTS] = release.contact_points
    return {
        "grafana.ini": _text("grafana.ini", {**variables, "bundled_plugins": _bundled_plugins(release)}),
        "provisioning/datasources/contextcore.yaml": _json(_datasources(release)),
        "provisioning/dashboards/contextcore.yaml": _json({"apiVersion": 1, "providers": [provider]}),
        **{f"provisioning/alerting/{name}": text for name, text in alerting.items()},
        "provisioning/plugins/.keep": "",  # Grafana complains of a folder that is missing
        **{f"dashboards/{name}": text for name, text in provisioned.dashboards().items()},
    }


def _bundled_plugins(release: HostRelease) -> str:
    """Return the folder with the data sources that are part of Grafana; a relative one is below its home.

    The deb and rpm packages have it elsewhere, and tell Grafana so only in their unit.
    """
    home, usual, packaged = grafana_home(release.programs["grafana"].path), "data/plugins-bundled", PACKAGED_PLUGINS
    return str(packaged) if home and not (home / usual).is_dir() and packaged.is_dir() else usual


def _datasources(release: HostRelease) -> dict[str, Any]:
    query_url = release.url("mimir") + release.store.query_prefix
    urls = {"mimir": query_url} | {name: release.url(name) for name in ("loki", "tempo") if name in release.programs}
    extras: dict[str, dict[str, Any]] = {
        "mimir": {"name": "Mimir", "type": "prometheus", "isDefault": True, "jsonData": {"httpMethod": "POST"}},
        "loki": {"name": "Loki", "type": "loki", "jsonData": {}},
        "tempo": {"name": "Tempo", "type": "tempo", "jsonData": {"serviceMap": {"datasourceUid": "mimir"}}},
    }
    if "loki" in urls and "tempo" in urls:
        extras["tempo"]["jsonData"]["tracesToLogsV2"] = {"datasourceUid": "loki", "filterByTraceID": True}
        # `$$`: a single `$` would be expanded from the environment.
        trace = {"name": "trace", "matcherType": "label", "matcherRegex": "trace_id", "datasourceUid": "tempo"}
        extras["loki"]["jsonData"]["derivedFields"] = [{**trace, "url": "$${__value.raw}"}]
    sources = [
        {"uid": name, "url": url, "access": "proxy", "editable": False, **extras[name]} for name, url in urls.items()
    ]
    return {"apiVersion": 1, "prune": True, "datasources": sources}


RECIPES: Mapping[str, Recipe] = {
    # Where Mimir's query frontend is reached has no place in its file; without it, queries hang on a machine that has
    # only loopback.
    "mimir": Recipe(("-config.file=$config/mimir.yaml", "-query-frontend.instance-addr=127.0.0.1")),
    "victoria-metrics": Recipe(
        (
            "-httpListenAddr=127.0.0.1:$mimir",
            "-storageDataPath=$data",
            "-retentionPeriod=$retention",
            "-search.latencyOffset=0s",  # else what was just written stays invisible for 30 s
            "-dedup.minScrapeInterval=1ms",  # a sample that is sent twice counts once
            "-memory.allowedBytes=${caches_mib}MiB",  # for caches
        ),
        has_caches=True,
    ),
    "prometheus": Recipe(
        (
            "--config.file=$config/prometheus.yaml",
            "--storage.tsdb.path=$data",
            "--storage.tsdb.retention.time=$retention",
            "--web.listen-address=127.0.0.1:$mimir",
            "--web.enable-remote-write-receiver",
        )
    ),
    "loki": Recipe(("-config.file=$config/loki.yaml",)),
    "tempo": Recipe(("-config.file=$config/tempo.yaml",)),
    "alloy": Recipe(
        (
            "run",
            "--server.http.listen-addr=127.0.0.1:$alloy_ui",
            "--storage.path=$data",
            "--disable-reporting",
            "$config/config.alloy",
        ),
        alloy_files,
    ),
    "grafana": Recipe(("--config", "$config/grafana.ini"), grafana_files, _grafana_leading),
}
