"""What a container engine says about itself: `docker info` and `podman info`, read into one form."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contextcore_install.core.schema import Schema, validate

MIB = 1024 * 1024
DELEGATED = frozenset({"cpu", "memory", "pids"})
"""Controllers that kind's nodes need of a rootless engine (kind, pkg/cluster/internal/create/create.go)."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says about itself; `memory_mib` and `cpus` are what it may use, 0 where it does not tell.

    `host` is its machine's name and `kernel` its kernel; `ahead_s` is how far its clock is ahead of ours, 0 where it
    does not tell. `lacks` names the controllers that a `rootless` engine's containers need and may not use.
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


def read_info(document: Mapping[str, Any]) -> EngineInfo:
    """Return what `docker info` or `podman info` says."""
    return _podman(document) if "host" in document else _docker(document)


def read_info_text(text: str) -> tuple[EngineInfo | None, list[str]]:
    """Return what an engine printed about itself, None if it is nothing that an engine says; and its complaints."""
    document = as_json(text, _INFO, {})
    problems = [str(line) for line in document.get("ServerErrors") or []]
    return (read_info(document) if document else None), problems


def as_json(text: str, shape: Schema, instead: Any) -> Any:
    """Return what the engine printed as JSON; `instead` where it is nothing that an engine says."""
    try:
        return validate(json.loads(text), shape)
    except (ValueError, RecursionError):
        return instead


def _docker(document: Mapping[str, Any]) -> EngineInfo:
    options = [str(option) for option in document.get("SecurityOptions") or []]
    limits = {"cpu": "CPUShares", "memory": "MemoryLimit", "pids": "PidsLimit"}
    rootless = "name=rootless" in options
    return EngineInfo(
        str(document.get("ServerVersion", "")),
        int(document.get("MemTotal", 0)) // MIB,
        int(document.get("NCPU", 0)),
        2 if str(document.get("CgroupVersion")) == "2" else 1,
        str(document.get("DockerRootDir", "")),
        str(document.get("OperatingSystem", "")),
        host=str(document.get("Name", "")),
        kernel=str(document.get("KernelVersion", "")),
        ahead_s=_ahead(str(document.get("SystemTime", ""))),
        rootless=rootless,
        lacks=tuple(name for name, key in limits.items() if rootless and document.get(key) is False),
    )


def _podman(document: Mapping[str, Any]) -> EngineInfo:
    host, store = document.get("host") or {}, document.get("store") or {}
    rootless = (host.get("security") or {}).get("rootless") is True
    given = host.get("cgroupControllers")
    lacks = sorted(DELEGATED - set(map(str, given))) if rootless and isinstance(given, list) else []
    return EngineInfo(
        str((document.get("version") or {}).get("Version", "")),
        int(host.get("memTotal", 0)) // MIB,
        int(host.get("cpus", 0)),
        2 if host.get("cgroupVersion") == "v2" else 1,
        str(store.get("graphRoot", "")),
        str((host.get("distribution") or {}).get("distribution", "")),
        host=str(host.get("hostname", "")),
        kernel=str(host.get("kernel", "")),
        rootless=rootless,
        lacks=tuple(lacks),
    )


def _ahead(moment: str) -> float:
    """Return how many seconds a time of RFC 3339 is ahead of now; its nanoseconds are more than Python reads."""
    whole, _, rest = moment.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    try:
        return datetime.fromisoformat(whole + zone).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0


_OBJECT: dict[str, Any] = {}
_PODMAN = {"memTotal": int, "cpus": int, "distribution": _OBJECT, "security": _OBJECT}
_INFO = {
    "ServerErrors": [str],
    "SecurityOptions": [str],
    "MemTotal": int,
    "NCPU": int,
    "host": _PODMAN,
    "store": _OBJECT,
    "version": _OBJECT,
}
"""What an engine says of itself where it is read (Docker Engine API, GET /info)."""
