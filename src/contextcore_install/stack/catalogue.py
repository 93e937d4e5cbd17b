"""The components of the stack, read from `catalogue.toml`: what they are, where they listen, how programs are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import own, usage_error
from contextcore_install.core.tables import read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from contextcore_install.core.provider import Endpoint

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
    host: int
    node_port: int = 0
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


def _component(row: dict[str, Any]) -> Component:
    ports = tuple(Port(**port) for port in row.pop("ports"))
    program = _program(row.pop("program"))
    return Component(**row, ports=ports, program=program)


def _program(row: dict[str, Any]) -> ProgramSpec:
    return ProgramSpec(**{**row, "names": tuple(row["names"])})


TABLE = Path(__file__).with_suffix(".toml")
_table = read_table(TABLE)
COMPONENTS: tuple[Component, ...] = tuple(map(_component, _table["components"]))
"""In the order in which they start: what others send to comes first."""
METRICS_STORES = tuple(MetricsStore(**{**row, "program": _program(row["program"])}) for row in _table["metrics_stores"])
"""What can be the metrics store on this machine, in the order in which it is chosen."""
MIMIR, VICTORIA_METRICS, PROMETHEUS = METRICS_STORES
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


_FIRST_SEEN = (METRICS_STORE, "grafana", *_BY_NAME)


def in_order_of_use(images: Iterable[str]) -> list[str]:
    """Order images: first what shows how the rest goes, then in the order in which components start, then others'."""

    def place(image: str) -> int:
        name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        return _FIRST_SEEN.index(name) if name in _FIRST_SEEN else len(_FIRST_SEEN)

    return sorted(images, key=place)


def full_name(image: str) -> str:
    """Return an image's name as nodes report it: with its registry, by default Docker Hub."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


OTLP_PORT = "alloy-http"
OTLP_PATH = "/v1/traces"
"""An endpoint that is asked here takes OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request"""

OTLP_ANSWERS = frozenset({404, 405})  # what OTLP's HTTP receiver says to a GET

ASKED = (
    *((item.name, item.ready_port, item.ready_path, frozenset[int]()) for item in COMPONENTS),
    ("alloy", OTLP_PORT, OTLP_PATH, OTLP_ANSWERS),
)
"""What is asked in a cluster: a component, the key of its port, the path, and which statuses but 2xx it may answer."""

_TAKES_SPANS = (("alloy", OTLP_PORT), ("tempo", "tempo-otlp-http"))
"""Who takes spans, with the key of the port for it: the collector, which hands them on, else the store itself."""


def traces_url(endpoints: Sequence[Endpoint], ports: Mapping[str, int]) -> str | None:
    """Return where OTLP over HTTP is taken; None while there is no such place.

    A provider that reaches it through something gives it as an endpoint of its own; what is a process of this machine
    listens on the port that `ports` has for it.
    """
    for endpoint in endpoints:
        if endpoint.ready_path == OTLP_PATH and endpoint.is_reachable:
            return endpoint.base_url
    here = {endpoint.component for endpoint in endpoints if not endpoint.via and endpoint.is_reachable}
    if "tempo" not in here:
        return None  # the collector takes no spans that it cannot hand on
    return next(f"http://{LOOPBACK}:{ports[key]}" for name, key in _TAKES_SPANS if name in here)
