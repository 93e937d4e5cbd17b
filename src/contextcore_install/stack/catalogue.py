"""The components of the stack as data: what they are, where they listen, and how to get them.

Versions, ports and readiness paths are those of the images that the Kubernetes manifests use as well. A port's key is
what a user types in `--port KEY=PORT`: the component's name for its main port, name and purpose for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import own, usage_error

LOOPBACK = "127.0.0.1"  # never `localhost`: that may mean ::1 first, where nothing of ours listens


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of a component.

    `container` and `node_port` are what the Kubernetes manifests use (0: not reached from outside the cluster),
    `host` is the default on this machine, in front of a cluster and for a plain process alike. An `internal` one
    serves the component itself, or others of the stack.
    """

    key: str
    purpose: str
    container: int
    node_port: int
    host: int
    internal: bool = False


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """How a program is recognised: its names on PATH, best first, and a pattern in what its version flag prints.

    Other programs carry the same names.
    """

    names: tuple[str, ...]
    identity: str
    version_flag: str = "-version"


@dataclass(frozen=True, slots=True)
class MetricsStore:
    """A kind of metrics store: only its own programs can read its data. Paths are those of its HTTP API."""

    name: str
    title: str
    program: ProgramSpec
    ready_path: str
    write_path: str
    query_prefix: str


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the stack.

    `ready_port` is the key of the port that answers `ready_path`, `image_tag` what differs from the version.
    `memory_mib` is its share of MEMORY_MIB on this machine; `program_mib` is about what its program takes on the disk
    while it is fetched.
    """

    name: str
    title: str
    version: str
    ports: tuple[Port, ...]
    program: ProgramSpec
    ready_port: str
    ready_path: str = "/ready"
    image_tag: str = ""
    memory_mib: int = 256
    program_mib: int = 250

    @property
    def image(self) -> str:
        return f"grafana/{self.name}:{self.image_tag or self.version}"


MEMORY_MIB = 1536
"""What all components together make do with on this machine, unless the user has another wish."""

METRICS_STORE = "mimir"
"""The component without which there is no installation: it takes the installation's own metrics."""

COMPONENTS: tuple[Component, ...] = (
    Component(
        "mimir",
        "the metrics store",
        "3.1.1",
        ports=(
            Port("mimir", "metrics: HTTP", 9009, 30009, 9009),
            Port("mimir-grpc", "metrics: its own gRPC", 9095, 0, 9095, internal=True),
        ),
        program=ProgramSpec(("mimir",), r"(?i)mimir, version"),
        ready_port="mimir",
        memory_mib=384,
    ),
    Component(
        "loki",
        "Loki, the log store",
        "3.7.6",
        ports=(
            Port("loki", "logs: HTTP", 3100, 30100, 3100),
            Port("loki-grpc", "logs: its own gRPC", 9095, 0, 9096, internal=True),
        ),
        program=ProgramSpec(("loki",), r"(?i)loki, version"),
        ready_port="loki",
    ),
    Component(
        "tempo",
        "Tempo, the trace store",
        "3.0.3",
        ports=(
            Port("tempo", "traces: HTTP", 3200, 30200, 3200),
            Port("tempo-grpc", "traces: its own gRPC", 9095, 0, 9097, internal=True),
            # On this machine 4317 and 4318 are Alloy's, which hands traces on.
            Port("tempo-otlp", "traces: OTLP over gRPC, from Alloy", 4317, 0, 14317, internal=True),
            Port("tempo-otlp-http", "traces: OTLP over HTTP", 4318, 0, 14318, internal=True),
        ),
        program=ProgramSpec(("tempo",), r"(?i)tempo, version"),
        ready_port="tempo",
    ),
    Component(
        "alloy",
        "Alloy, the collector",
        "1.18.0",
        ports=(
            Port("alloy", "telemetry in: OTLP over gRPC", 4317, 30317, 4317),
            Port("alloy-http", "telemetry in: OTLP over HTTP", 4318, 30318, 4318),
            Port("alloy-ui", "collector: its page and readiness", 12345, 0, 12345),
        ),
        program=ProgramSpec(("alloy",), r"(?i)alloy, version", "--version"),
        ready_path="/-/ready",
        ready_port="alloy-ui",
        image_tag="v1.18.0",
        program_mib=650,
    ),
    Component(
        "grafana",
        "Grafana, dashboards",
        "13.2.3",
        ports=(Port("grafana", "dashboards: HTTP", 3000, 30000, 3000),),
        program=ProgramSpec(("grafana", "grafana-server"), r"(?i)^(grafana )?version \d", "-v"),
        ready_port="grafana",
        ready_path="/api/health",
        memory_mib=320,
        program_mib=1400,
    ),
)
"""In the order in which they start: what others send to comes first."""

_VICTORIA_METRICS = ProgramSpec(("victoria-metrics", "victoria-metrics-prod"), "")  # Debian's prints an empty version
_PROMETHEUS = ProgramSpec(("prometheus",), r"(?i)prometheus, version", "--version")

MIMIR = MetricsStore("mimir", "Mimir", COMPONENTS[0].program, "/ready", "/api/v1/push", "/prometheus")
VICTORIA_METRICS = MetricsStore(
    "victoria-metrics", "VictoriaMetrics", _VICTORIA_METRICS, "/ready", "/api/v1/write", "/prometheus"
)
PROMETHEUS = MetricsStore("prometheus", "Prometheus", _PROMETHEUS, "/-/ready", "/api/v1/write", "")
METRICS_STORES = (MIMIR, VICTORIA_METRICS, PROMETHEUS)
"""What can be the metrics store on this machine, in the order in which it is chosen."""

_BY_NAME = MappingProxyType({component.name: component for component in COMPONENTS})
PORTS: Mapping[str, Port] = MappingProxyType({port.key: port for component in COMPONENTS for port in component.ports})


def component(name: str) -> Component:
    return _BY_NAME[name]


def memory_shares(total_mib: object) -> dict[str, int]:
    """Return what each component is to make do with, in MiB; the total may be from a file, or None for the usual."""
    total = total_mib if type(total_mib) is int and total_mib > 0 else MEMORY_MIB
    return {component.name: max(1, component.memory_mib * total // MEMORY_MIB) for component in COMPONENTS}


ALL = "all"


def chosen_components(names: str) -> frozenset[str]:
    """Return the components in a list such as `loki,grafana` or `all`, and the metrics store, which always is.

    Raises InstallError (usage) for a name that is no component's.
    """
    chosen = [name for text in names.split(",") if (name := text.strip())]
    wrong = next((name for name in chosen if name != ALL and name not in _BY_NAME), "" if chosen else names)
    if wrong or not chosen:
        hint = f"The names are: {', '.join(_BY_NAME)}; {ALL} stands for all of them"
        raise usage_error(f"There is no component named {wrong[:80]!r}.", hint=hint)
    return frozenset(_BY_NAME if ALL in chosen else {METRICS_STORE, *chosen})


def resolve_ports(chosen: Mapping[str, int]) -> dict[str, int]:
    """Return the host port of every key: the user's choice, else the default.

    Raises InstallError (usage) for a key that does not exist, a number that is no port, and a port given twice.
    """
    for key, number in chosen.items():
        if key not in PORTS:
            raise usage_error(f"There is no port named {key!r}.", hint=f"The names are: {', '.join(sorted(PORTS))}")
        if type(number) is not int or not 1 <= number <= 65_535:  # it may be from a file
            raise usage_error(f"{key}={number} is not a port.", hint=f"For example: --port {key}={PORTS[key].host}")
    ports = {key: chosen.get(key, port.host) for key, port in PORTS.items()}
    seen: dict[int, str] = {}
    for key, number in ports.items():
        other = seen.setdefault(number, key)
        if other != key:
            raise usage_error(
                f"Port {number} would serve both {other} and {key}.",
                hint=f"choose another: {own('--port', f'{key}=PORT')}",
            )
    return ports
