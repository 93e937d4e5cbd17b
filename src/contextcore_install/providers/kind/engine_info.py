"""What a container engine says about itself and about the nodes of a cluster: Docker and Podman, in one form."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.tables import read_table
from contextcore_install.providers.kubernetes.objects import moment

MIB = 1024 * 1024
#: Controllers that kind's nodes need of a rootless engine (kind, pkg/cluster/internal/create/create.go).
DELEGATED = frozenset({"cpu", "memory", "pids"})
CLUSTER_LABEL, ROLE_LABEL = "io.x-k8s.kind.cluster", "io.x-k8s.kind.role"
HOLDING_PORTS = frozenset({"running", "paused", "restarting"})  # states of a container that keeps its ports
RECENT_S, FIRST_START_WITHIN_S = 120.0, 30.0  # what counts as a recent start, and how soon a new container is started
_TABLE = Path(__file__).with_suffix(".toml")
_PORT = re.compile(r"[0-9]{1,5}")
_INVALID = (ValueError, TypeError, OverflowError, RecursionError)  # what reading an answer that makes no sense raises


@dataclass(frozen=True, slots=True)
class Node:
    """A container that is a node of a cluster."""

    id: str
    name: str
    role: str
    state: str
    created: str  # RFC 3339
    started: str
    image: str
    ports: Mapping[int, tuple[str, int]]  # of the container -> (address, port) here
    networks: Mapping[str, str] | None = None  # the engine's -> its IPv4 address there; None if unknown

    @property
    def is_control_plane(self) -> bool:
        return self.role == "control-plane"

    @property
    def is_member(self) -> bool:
        """Whether it is a node to Kubernetes, which a load balancer is not."""
        return self.role in {"control-plane", "worker"}

    @property
    def was_restarted(self) -> bool:
        return moment(self.started) - moment(self.created) > FIRST_START_WITHIN_S

    def was_restarted_recently(self, now: float) -> bool:
        return self.was_restarted and now - moment(self.started) < RECENT_S


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says about itself; what it does not say is empty, or 0."""

    version: str
    memory_mib: int  # it may use so much
    cpus: int
    cgroup: int
    root: str
    system: str
    host: str = ""  # its machine's name
    kernel: str = ""
    ahead_s: float = 0.0  # of our clock
    rootless: bool = False
    lacks: tuple[str, ...] = ()  # the controllers that a rootless engine's containers need and may not use


def _at(document: Any, *path: str) -> Any:
    """Return what is at a path in an answer; None if it is missing. Raises TypeError for what has no members."""
    for name in path:
        if not isinstance(document, dict):
            raise TypeError(f"{document!r:.40} is no object")
        document = document.get(name)
        if document is None:
            break
    return document


def _text(document: Any, *path: str) -> str:
    found = _at(document, *path)
    return "" if found is None else str(found)


def read_info_text(text: str) -> tuple[EngineInfo | None, list[str]]:
    """Return what an engine printed about itself, None if no engine prints that; and the errors that it reports."""
    with suppress(*_INVALID):
        document = json.loads(text)
        problems = [str(line) for line in _at(document, "ServerErrors") or []]
        return (read_info(document) if document else None), problems
    return None, []


def read_info(document: Mapping[str, Any]) -> EngineInfo:
    """Return what an engine says of itself, as engine_info.toml tells where."""
    is_podman = _at(document, "host") is not None
    places = read_table(_TABLE)["podman" if is_podman else "docker"]
    said: dict[str, Any] = {name: _text(document, *place) for name, place in places.items()}
    memory, now = int(_at(document, *places["memory_mib"]) or 0), moment(_text(document, "SystemTime"))
    said |= {"memory_mib": memory // MIB, "cpus": int(_at(document, *places["cpus"]) or 0)}
    said |= {"cgroup": 2 if said["cgroup"] in {"2", "v2"} else 1, "ahead_s": now - time.time() if now else 0.0}
    rootless, lacks = _podman_limits(document) if is_podman else _docker_limits(document)
    return EngineInfo(**said, rootless=rootless, lacks=lacks if rootless else ())


def _docker_limits(document: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    limits = {"cpu": "CPUShares", "memory": "MemoryLimit", "pids": "PidsLimit"}
    rootless = "name=rootless" in (_at(document, "SecurityOptions") or [])
    return rootless, tuple(name for name, key in limits.items() if _at(document, key) is False)


def _podman_limits(document: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    given = _at(document, "host", "cgroupControllers")
    lacks = tuple(sorted(DELEGATED - set(map(str, given)))) if isinstance(given, list) else ()
    return _at(document, "host", "security", "rootless") is True, lacks


def read_nodes(text: str) -> list[Node]:
    """Return the nodes in what `inspect` printed, the control plane first; none if no engine prints that."""
    with suppress(*_INVALID):
        nodes = [read_node(item) for item in json.loads(text)]
        return sorted(nodes, key=lambda node: (not node.is_control_plane, node.name))
    return []


def read_node(item: Mapping[str, Any]) -> Node:
    """Return what the engine says of a container."""
    said: dict[str, Any] = {name: _text(item, *place) for name, place in read_table(_TABLE)["node"].items()}
    said |= {"name": said["name"].lstrip("/"), "role": _text(item, "Config", "Labels", ROLE_LABEL)}
    networks = _at(item, "NetworkSettings", "Networks")
    said["networks"] = None if networks is None else {name: _text(networks, name, "IPAddress") for name in networks}
    return Node(**said, ports=_ports(dict(_at(item, "HostConfig", "PortBindings") or {})))


def _ports(bindings: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Return the bindings that were asked for, which are known of a stopped container as well."""
    found = {}
    for place, entries in bindings.items():
        number = place.partition("/")[0]
        for entry in entries or ():
            host = _text(entry, "HostPort")
            if _PORT.fullmatch(number) and _PORT.fullmatch(host):
                found[int(number)] = (_text(entry, "HostIp"), int(host))
    return found


def shared_network(nodes: Sequence[Node], default: str) -> str:
    """Return the network that most of the nodes are on; the default if none is on any."""
    counted = Counter(name for node in nodes for name in node.networks or ())
    return default if not counted or default in counted else counted.most_common(1)[0][0]


def detached(nodes: Sequence[Node], network: str) -> list[Node]:
    """Return the nodes that are not on the network, as far as the engine says."""
    return [node for node in nodes if node.networks is not None and network not in node.networks]
