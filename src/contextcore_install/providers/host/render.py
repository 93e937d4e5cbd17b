"""How each program is started: its arguments (config/programs.toml) and its configuration (config/, by its name).

Options are those of the versions in the catalogue and in Debian (VictoriaMetrics 1.79, Prometheus 2.42).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
PROGRAMS = CONFIG / "programs.toml"
PACKAGED_PLUGINS = Path("/var/lib/grafana/plugins-bundled")
CONTACT_POINTS = "contact-points.yaml"  # where Grafana sends alerts; it holds secrets


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a component is started with."""

    argv: tuple[str, ...]
    files: Mapping[str, str]  # by path below its configuration folder
    environ: Mapping[str, str]  # what it has of us, whatever the user's is
    version: str  # after an update another one is in the same place

    @property
    def fingerprint(self) -> str:
        everything = [self.argv, sorted(self.files.items()), self.environ, self.version]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class HostRelease:
    """What the configurations are made from: places, ports by key, and the programs that run, by component."""

    layout: Layout
    ports: Mapping[str, int]
    programs: Mapping[str, Program]
    store: MetricsStore
    contact_points: str = field(default="", repr=False)  # the file for Grafana that says where alerts go, if anywhere
    memory: Mapping[str, int] = field(default_factory=lambda: memory_shares(None))  # MiB

    @property
    def startable(self) -> Sequence[str]:
        """The components that can be started; the others run on as they are."""
        return [name for name, program in self.programs.items() if not program.is_gone]

    def render(self, component: str) -> Rendered:
        """Return what a component is started with."""
        found, variables = self.programs[component], self.variables(component)
        kind = self.store.name if component == METRICS_STORE else component
        recipe = read_table(PROGRAMS)[kind]
        leading = _grafana_leading(found.path) if kind == "grafana" else ()
        arguments = _filled(recipe["arguments"], variables)
        files: dict[str, str] = {}
        if kind in _FILES:
            files = _FILES[kind](self, variables)
        elif (CONFIG / f"{kind}.toml").is_file():
            files = {f"{kind}.yaml": _json(_document(f"{kind}.toml", variables))}
        heap_mib = self.memory[component] - (self.caches_mib if recipe.get("has_caches") else 0)
        environ = {"GOMEMLIMIT": f"{heap_mib}MiB"}
        return Rendered((str(found.path), *leading, *arguments), files, environ, found.version)

    @property
    def caches_mib(self) -> int:
        """What the caches of a metrics store take of its memory, if they are not in Go's heap."""
        return self.memory[METRICS_STORE] // 3

    def variables(self, component: str) -> dict[str, Any]:
        """Return what templates refer to: the component's folders, and all ports by their keys."""
        store_url = f"http://{LOOPBACK}:{self.ports[METRICS_STORE]}"
        return {
            "config": str(self.layout.config / component),
            "data": str(self.data(component)),
            "logs": str(self.layout.logs / component),
            "password": str(self.layout.grafana_password),
            **read_table(PROGRAMS)["variables"],
            "caches_mib": self.caches_mib,
            "write_url": f"{store_url}{self.store.write_path}",
            "query_url": f"{store_url}{self.store.query_prefix}",
            **{key.replace("-", "_"): port for key, port in self.ports.items()},
        }

    def data(self, component: str) -> Path:
        """Return a component's data folder; each kind of metrics store has its own."""
        return self.layout.data / (self.store.name if component == METRICS_STORE else component)


def _text(name: str, variables: Mapping[str, Any]) -> str:
    return Template((CONFIG / name).read_text(encoding="utf-8")).substitute(variables)


def _json(document: Any) -> str:
    """Return a configuration in YAML: JSON, in which values need no quoting rules of ours."""
    return json.dumps(document, indent=2) + "\n"


def _document(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = _filled(read_table(CONFIG / name), variables)
    return document


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
    table = read_table(CONFIG / "alloy" / "outputs.toml")
    outputs = [output for name, output in table.items() if name in release.programs]
    inputs = "\n".join(f"    {output['signal']} = [{output['block']}]" for output in outputs)
    blocks = [
        _text("alloy/input.alloy", {**variables, "outputs": inputs}),
        *(_text(f"alloy/{output['signal']}.alloy", variables) for output in outputs),
    ]
    return {"config.alloy": "\n".join(blocks)}


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
    alerting = dict(provisioned.alerting())
    if release.contact_points:
        alerting[CONTACT_POINTS] = release.contact_points
    return {
        "grafana.ini": _text("grafana/grafana.ini", {**variables, "bundled_plugins": _bundled_plugins(release)}),
        "provisioning/datasources/contextcore.yaml": _json(_datasources(release, variables)),
        "provisioning/dashboards/contextcore.yaml": _json(_document("grafana/dashboards.toml", variables)),
        **{f"provisioning/alerting/{name}": text for name, text in alerting.items()},
        "provisioning/plugins/.keep": "",  # Grafana complains of a folder that is missing
        **{f"dashboards/{name}": text for name, text in provisioned.dashboards().items()},
    }


def _bundled_plugins(release: HostRelease) -> str:
    """Return the folder of Grafana's own data sources, below its home; its packages' is elsewhere, by their unit."""
    home, usual, packaged = grafana_home(release.programs["grafana"].path), "data/plugins-bundled", PACKAGED_PLUGINS
    return str(packaged) if home and not (home / usual).is_dir() and packaged.is_dir() else usual


def _datasources(release: HostRelease, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data sources that run, and of the links between them those that lead somewhere."""
    document = _document("grafana/datasources.toml", variables)
    document["datasources"] = [item for item in document["datasources"] if item["uid"] in {"mimir", *release.programs}]
    for source in document["datasources"]:
        for link, target in (("derivedFields", "tempo"), ("tracesToLogsV2", "loki")):
            if target not in release.programs:
                source["jsonData"].pop(link, None)
    return document


_FILES = {"alloy": alloy_files, "grafana": grafana_files}
"""What makes the configuration of a program that does not consist of one file, config/NAME.toml."""
