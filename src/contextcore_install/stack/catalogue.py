"""The components of the stack as data: what they are, where they listen, and how to get them.

Versions, ports and readiness paths are those of the images that the Kubernetes manifests use as well. A port's key is
what a user types in `--port KEY=PORT`: the component's name for its main port, name and purpose for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contextcore_install.core.errors import usage_error
from contextcore_install.core.hints import own

LOOPBACK = "127.0.0.1"
"""Never `localhost`: that may mean ::1 first, where nothing of ours listens."""


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
class Component:
    """One part of the stack.

    `programs` are the names under which it is looked for on PATH, best first, and `identity` is a pattern that its
    `version_flag` prints: other programs carry the same names. `memory_mib` is what to reckon with on a laptop,
    `needs` names what it sends to or reads from.
    """

    name: str
    title: str
    version: str
    image: str
    ports: tuple[Port, ...]
    ready_path: str
    ready_port: str
    programs: tuple[str, ...]
    identity: str
    version_flag: str
    memory_mib: int
    hint: str
    needs: tuple[str, ...] = ()


METRICS_STORE = "mimir"
"""The component without which there is no installation: it takes the installation's own metrics."""

COMPONENTS: tuple[Component, ...] = (
    Component(
        name="mimir",
        title="the metrics store",
        version="3.1.1",
        image="grafana/mimir:3.1.1",
        ports=(
            Port("mimir", "metrics: HTTP", 9009, 30009, 9009),
            Port("mimir-grpc", "metrics: its own gRPC", 9095, 0, 9095, internal=True),
        ),
        ready_path="/ready",
        ready_port="mimir",
        programs=("mimir",),
        identity=r"(?i)mimir, version",
        version_flag="-version",
        memory_mib=256,
        hint="https://grafana.com/docs/mimir/latest/get-started/",
    ),
    Component(
        name="loki",
        title="Loki, the log store",
        version="3.7.6",
        image="grafana/loki:3.7.6",
        ports=(
            Port("loki", "logs: HTTP", 3100, 30100, 3100),
            Port("loki-grpc", "logs: its own gRPC", 9095, 0, 9096, internal=True),
        ),
        ready_path="/ready",
        ready_port="loki",
        programs=("loki",),
        identity=r"(?i)loki, version",
        version_flag="-version",
        memory_mib=256,
        hint="put Grafana's `loki` on PATH: https://grafana.com/docs/loki/latest/setup/install/",
    ),
    Component(
        name="tempo",
        title="Tempo, the trace store",
        version="3.0.3",
        image="grafana/tempo:3.0.3",
        ports=(
            Port("tempo", "traces: HTTP", 3200, 30200, 3200),
            Port("tempo-grpc", "traces: its own gRPC", 9095, 0, 9097, internal=True),
            # On this machine 4317 and 4318 are Alloy's, which hands traces on.
            Port("tempo-otlp", "traces: OTLP over gRPC, from Alloy", 4317, 0, 14317, internal=True),
            Port("tempo-otlp-http", "traces: OTLP over HTTP", 4318, 0, 14318, internal=True),
        ),
        ready_path="/ready",
        ready_port="tempo",
        programs=("tempo",),
        identity=r"(?i)tempo, version",
        version_flag="-version",
        memory_mib=256,
        hint="put Grafana's `tempo` on PATH: https://grafana.com/docs/tempo/latest/setup/",
    ),
    Component(
        name="alloy",
        title="Alloy, the collector",
        version="1.18.0",
        image="grafana/alloy:v1.18.0",
        ports=(
            Port("alloy", "telemetry in: OTLP over gRPC", 4317, 30317, 4317),
            Port("alloy-http", "telemetry in: OTLP over HTTP", 4318, 30318, 4318),
            Port("alloy-ui", "collector: its page and readiness", 12345, 0, 12345),
        ),
        ready_path="/-/ready",
        ready_port="alloy-ui",
        programs=("alloy",),
        identity=r"(?i)alloy, version",
        version_flag="--version",
        memory_mib=256,
        hint="put Grafana's `alloy` on PATH: https://grafana.com/docs/alloy/latest/set-up/install/",
        needs=("mimir", "loki", "tempo"),
    ),
    Component(
        name="grafana",
        title="Grafana, dashboards",
        version="13.2.3",
        image="grafana/grafana:13.2.3",
        ports=(Port("grafana", "dashboards: HTTP", 3000, 30000, 3000),),
        ready_path="/api/health",
        ready_port="grafana",
        programs=("grafana", "grafana-server"),
        identity=r"(?i)^(grafana )?version \d",
        version_flag="-v",
        memory_mib=256,
        hint="put `grafana` on PATH: https://grafana.com/docs/grafana/latest/setup-grafana/installation/",
        needs=("mimir", "loki", "tempo"),
    ),
)
"""In the order in which they start: what others send to comes first."""

_BY_NAME = MappingProxyType({component.name: component for component in COMPONENTS})
PORTS: Mapping[str, Port] = MappingProxyType({port.key: port for component in COMPONENTS for port in component.ports})
"""Every port by its key."""


def component(name: str) -> Component:
    """Return the component of a name; KeyError where there is none."""
    return _BY_NAME[name]


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
