"""What a container engine says about itself and about the nodes of a cluster: Docker and Podman, in one form."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contextcore_install.core.schema import Schema, validate

MIB = 1024 * 1024
#: Controllers that kind's nodes need of a rootless engine (kind, pkg/cluster/internal/create/create.go).
DELEGATED = frozenset({"cpu", "memory", "pids"})
CLUSTER_LABEL, ROLE_LABEL = "io.x-k8s.kind.cluster", "io.x-k8s.kind.role"
HOLDING_PORTS = frozenset({"running", "paused", "restarting"})  # states of a container that keeps its ports
RECENT_S, FIRST_START_WITHIN_S = 120.0, 30.0  # what counts as a recent start, and how soon a new container is started
_PORT = re.compile(r"[0-9]{1,5}")
_WITH_OFFSET = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:\d\d)")
_OBJECT: dict[str, Any] = {}
# The members that are read (Docker Engine API, GET /containers/{id}/json and GET /info; podman info)
_CONTAINER = {
    "Config": {"Labels": _OBJECT},
    "State": _OBJECT,
    "HostConfig": {"PortBindings": _OBJECT},
    "NetworkSettings": {"Networks": _OBJECT},
}
_PODMAN_HOST = {"memTotal": int, "cpus": int, "distribution": _OBJECT, "security": _OBJECT}
_INFO = {
    "ServerErrors": [str],
    "SecurityOptions": [str],
    "MemTotal": int,
    "NCPU": int,
    "host": _PODMAN_HOST,
    "store": _OBJECT,
    "version": _OBJECT,
}


@dataclass(frozen=True, slots=True)
class Node:
    """A container that is a node of a cluster. `ports` maps ports of the container to (address, port) here.

    `created` and `started` are in UTC, as in 2026-01-01T10:00:05.1Z. `networks` maps the engine's networks that the
    container is on to its IPv4 address there; None if the engine does not say.
    """

    id: str
    name: str
    role: str
    state: str
    created: str
    started: str
    image: str
    ports: Mapping[int, tuple[str, int]]
    networks: Mapping[str, str] | None = None

    @property
    def is_control_plane(self) -> bool:
        return self.role == "control-plane"

    @property
    def is_member(self) -> bool:
        """Whether it is a node to Kubernetes, which a load balancer is not."""
        return self.role in {"control-plane", "worker"}

    @property
    def was_restarted(self) -> bool:
        return seconds(self.started) - seconds(self.created) > FIRST_START_WITHIN_S

    def was_restarted_recently(self, now: float) -> bool:
        return now - seconds(self.started) < RECENT_S and self.was_restarted


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says about itself; `memory_mib` and `cpus` are what it may use, 0 if unknown.

    `host` is its machine's name and `kernel` its kernel; `ahead_s` is how far its clock is ahead of ours, 0 if unknown.
    `lacks` names the controllers that a `rootless` engine's containers need and may not use.
    """

    version: str
    memory_mib: int
    cpus: int
    cgroup: int
    root: str
    system: str
    host: str = ""
    kernel: str = ""
    ahead_s: float = 0.0
    rootless: bool = False
    lacks: tuple[str, ...] = ()


def seconds(moment: str) -> float:
    """Return a time of RFC 3339 in seconds since 1970; 0 for what is not one."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _validated(text: str, schema: Schema, default: Any) -> Any:
    try:
        return validate(json.loads(text), schema)
    except (ValueError, RecursionError):
        return default


def read_info_text(text: str) -> tuple[EngineInfo | None, list[str]]:
    """Return what an engine printed about itself, None if no engine prints that; and the errors that it reports."""
    document = _validated(text, _INFO, {})
    problems = [str(line) for line in document.get("ServerErrors") or []]
    return (read_info(document) if document else None), problems


def read_info(document: Mapping[str, Any]) -> EngineInfo:
    """Return what `docker info` or `podman info` says."""
    return _podman_info(document) if "host" in document else _docker_info(document)


def _docker_info(document: Mapping[str, Any]) -> EngineInfo:
    limits = {"cpu": "CPUShares", "memory": "MemoryLimit", "pids": "PidsLimit"}
    rootless = "name=rootless" in map(str, document.get("SecurityOptions") or [])
    now = seconds(str(document.get("SystemTime", "")))
    return EngineInfo(
        version=str(document.get("ServerVersion", "")),
        memory_mib=int(document.get("MemTotal", 0)) // MIB,
        cpus=int(document.get("NCPU", 0)),
        cgroup=2 if str(document.get("CgroupVersion")) == "2" else 1,
        root=str(document.get("DockerRootDir", "")),
        system=str(document.get("OperatingSystem", "")),
        host=str(document.get("Name", "")),
        kernel=str(document.get("KernelVersion", "")),
        ahead_s=now - time.time() if now else 0.0,
        rootless=rootless,
        lacks=tuple(name for name, key in limits.items() if rootless and document.get(key) is False),
    )


def _podman_info(document: Mapping[str, Any]) -> EngineInfo:
    host, store = document.get("host") or {}, document.get("store") or {}
    rootless = (host.get("security") or {}).get("rootless") is True
    given = host.get("cgroupControllers")
    return EngineInfo(
        version=str((document.get("version") or {}).get("Version", "")),
        memory_mib=int(host.get("memTotal", 0)) // MIB,
        cpus=int(host.get("cpus", 0)),
        cgroup=2 if host.get("cgroupVersion") == "v2" else 1,
        root=str(store.get("graphRoot", "")),
        system=str((host.get("distribution") or {}).get("distribution", "")),
        host=str(host.get("hostname", "")),
        kernel=str(host.get("kernel", "")),
        rootless=rootless,
        lacks=tuple(sorted(DELEGATED - set(map(str, given)))) if rootless and isinstance(given, list) else (),
    )


def read_nodes(text: str) -> list[Node]:
    """Return the nodes in what `inspect` printed, the control plane first; none if no engine prints that."""
    nodes = [read_node(item) for item in _validated(text, [_CONTAINER], [])]
    return sorted(nodes, key=lambda node: (not node.is_control_plane, node.name))


def read_node(item: Mapping[str, Any]) -> Node:
    config, state = item.get("Config") or {}, item.get("State") or {}
    networks = (item.get("NetworkSettings") or {}).get("Networks")
    return Node(
        id=str(item.get("Id", "")),
        name=str(item.get("Name", "")).lstrip("/"),
        role=str((config.get("Labels") or {}).get(ROLE_LABEL, "")),
        state=str(state.get("Status", "")),
        created=_utc(str(item.get("Created", ""))),
        started=_utc(str(state.get("StartedAt", ""))),
        image=str(config.get("Image", "")),
        ports=_ports((item.get("HostConfig") or {}).get("PortBindings") or {}),
        networks=None if networks is None else {name: _address(at) for name, at in networks.items()},
    )


def _utc(moment: str) -> str:
    """Return a time of RFC 3339 in UTC, as Docker prints it: Podman prints it with this machine's offset."""
    if found := _WITH_OFFSET.fullmatch(moment):
        second, fraction, offset = found.groups(default="")
        with suppress(ValueError, OverflowError):
            return f"{datetime.fromisoformat(second + offset).astimezone(UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
    return moment


def _ports(bindings: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Return the bindings that were asked for, which are known of a stopped container as well."""
    found = {}
    for place, entries in bindings.items():
        number = place.partition("/")[0]
        for entry in entries if isinstance(entries, list) else []:
            host = str(entry.get("HostPort", "")) if isinstance(entry, dict) else ""
            if _PORT.fullmatch(number) and _PORT.fullmatch(host):
                found[int(number)] = (str(entry.get("HostIp", "")), int(host))
    return found


def _address(network: Any) -> str:
    return str(network.get("IPAddress", "")) if isinstance(network, dict) else ""
