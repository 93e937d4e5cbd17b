"""The container engine that kind works with: Docker or Podman, through its command."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.ports import StepContext
from contextcore_install.core.shape import Shape, shaped
from contextcore_install.diagnosis.failures import engine_trouble
from contextcore_install.tools import process
from contextcore_install.tools.capture import Captured, capture

CLUSTER_LABEL, ROLE_LABEL = "io.x-k8s.kind.cluster", "io.x-k8s.kind.role"
#: Seconds for the engine to answer a question.
ASK_S = 20.0
MIB = 1024 * 1024
_PORT = re.compile(r"[0-9]{1,5}")
_WITH_OFFSET = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:\d\d)")
# moby/api and podman/libpod/define/errors.go
_GONE = re.compile(r"no such (?:container|object)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says about itself; `memory_mib` and `cpus` are what it may use, 0 where it does not tell."""

    version: str
    memory_mib: int
    cpus: int
    cgroup: int
    root: str
    system: str


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
        """Whether the API server runs in it."""
        return self.role == "control-plane"

    @property
    def is_member(self) -> bool:
        """Whether it is a node to Kubernetes: a load balancer is a container of the cluster, and no node of it."""
        return self.role in {"control-plane", "worker"}


class Engine:
    """Asks and tells the engine. Nothing is started before it is asked for; `refused` is why it is asked nothing."""

    def __init__(self, name: str, environ: Mapping[str, str], refused: InstallError | None = None) -> None:
        self.name = name
        self.environ = environ
        self._refused = refused

    def ask(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> Captured:
        """Run a command of the engine and return how it ended. Raises InstallError."""
        if self._refused is not None:
            raise self._refused
        return capture([self.name, *arguments], environ=self.environ, timeout_s=timeout_s, ctx=ctx)

    def call(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> str:
        """Run a command of the engine and return what it printed; raises InstallError where it fails."""
        done = self.ask(*arguments, timeout_s=timeout_s, ctx=ctx)
        if done.exit_code != 0:
            raise self._failure(done)
        return done.stdout

    def _failure(self, done: Captured) -> InstallError:
        lines = done.stderr.splitlines() or [done.stdout[:400]]
        return replace(engine_trouble(lines, self.facts()).error(), retryable=True)

    def facts(self) -> dict[str, str]:
        """Return what the sentences about the engine need to know."""
        start = {"darwin": "open -a Docker"}.get(sys.platform, f"sudo systemctl start {self.name}")
        if self.name == "podman":
            start = (
                "podman machine start" if sys.platform == "darwin" else "systemctl --user start podman.socket"
            )
        return {"engine": self.name, "start": start}

    def trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        """Return what the engine says about itself, or why it does not."""
        if why := self._refused:
            return None, Finding(why.code, why.message, why.evidence, Remedy(why.hint, why.hint))
        try:
            done = self.ask("info", "--format", "{{json .}}")
        except InstallError as error:
            return None, engine_trouble([error.message], self.facts(), error.code).finding
        document = _json(done.stdout, _INFO, {})
        problems = document.get("ServerErrors") or []
        if done.exit_code != 0 or problems or not document:
            lines = [*map(str, problems), *done.stderr.splitlines()]
            return None, engine_trouble(lines, self.facts()).finding
        return read_info(document), None

    def nodes(self, cluster: str) -> list[Node]:
        """Return the containers that are nodes of exactly this cluster.

        Raises InstallError, also where there are some and the engine does not say what they are: none is taken for gone
        that may be there.
        """
        label = f"label={CLUSTER_LABEL}={cluster}"
        ids = self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()
        if not ids:
            return []
        done = self.ask("inspect", "--type", "container", *ids)
        found = [read_node(item) for item in _json(done.stdout, _NODES, [])]
        if not found or (done.exit_code != 0 and not _only_gone(done.stderr)):
            raise self._failure(done)
        return sorted(found, key=lambda node: (not node.is_control_plane, node.name))

    def image_ids(self, images: Sequence[str]) -> dict[str, str]:
        """Return the ids of those images that the engine has."""
        if not images:
            return {}
        found = {}
        for image in images:
            done = self.ask("image", "inspect", "--format", "{{.Id}}", image)
            if done.exit_code == 0:
                found[image] = done.stdout.strip()
        return found

    def has_network(self) -> bool:
        """Tell whether the network is there on which kind puts its nodes. Raises InstallError."""
        return self.ask("network", "inspect", self.network).exit_code == 0

    def remove_unused_network(self) -> None:
        """Remove the network that kind makes and leaves, unless something is on it: then the engine refuses."""
        self.ask("network", "rm", self.network)

    @property
    def network(self) -> str:
        """The network that kind puts its nodes on."""
        # The variable is kind's own: pkg/cluster/internal/providers/docker/provider.go
        return self.environ.get("KIND_EXPERIMENTAL_DOCKER_NETWORK") or "kind"

    def start(self, node: Node, ctx: StepContext) -> None:
        """Start a node's container. Raises InstallError."""
        verb = "unpause" if node.state == "paused" else "start"
        process.run([self.name, verb, node.name], ctx, environ=self.environ, timeout_s=60)

    def restart(self, node: Node, ctx: StepContext) -> None:
        """Restart a node's container. Raises InstallError."""
        process.run([self.name, "restart", node.name], ctx, environ=self.environ, timeout_s=90)


def read_info(document: Mapping[str, Any]) -> EngineInfo:
    """Return what `docker info` or `podman info` says."""
    if "host" in document:  # Podman
        host, store = document.get("host") or {}, document.get("store") or {}
        return EngineInfo(
            str((document.get("version") or {}).get("Version", "")),
            int(host.get("memTotal", 0)) // MIB,
            int(host.get("cpus", 0)),
            2 if host.get("cgroupVersion") == "v2" else 1,
            str(store.get("graphRoot", "")),
            str((host.get("distribution") or {}).get("distribution", "")),
        )
    return EngineInfo(
        str(document.get("ServerVersion", "")),
        int(document.get("MemTotal", 0)) // MIB,
        int(document.get("NCPU", 0)),
        2 if str(document.get("CgroupVersion")) == "2" else 1,
        str(document.get("DockerRootDir", "")),
        str(document.get("OperatingSystem", "")),
    )


def read_node(item: Mapping[str, Any]) -> Node:
    """Return what `docker inspect` says of a node."""
    config, state = item.get("Config") or {}, item.get("State") or {}
    labels = config.get("Labels") or {}
    return Node(
        id=str(item.get("Id", "")),
        name=str(item.get("Name", "")).lstrip("/"),
        role=str(labels.get(ROLE_LABEL, "")),
        state=str(state.get("Status", "")),
        created=_utc(str(item.get("Created", ""))),
        started=_utc(str(state.get("StartedAt", ""))),
        image=str(config.get("Image", "")),
        ports=_ports((item.get("HostConfig") or {}).get("PortBindings") or {}),
        networks=_networks((item.get("NetworkSettings") or {}).get("Networks")),
    )


def _only_gone(said: str) -> bool:
    """Tell whether what an engine complains of is nothing but containers that have gone since it named them."""
    return bool(said.strip()) and all(_GONE.search(line) for line in said.splitlines() if line.strip())


def _utc(moment: str) -> str:
    """Return a time of RFC 3339 in UTC, as Docker tells it: Podman has it with this machine's offset."""
    found = _WITH_OFFSET.fullmatch(moment)
    if not found:
        return moment
    second, fraction, offset = found.groups(default="")
    try:
        return f"{datetime.fromisoformat(second + offset).astimezone(UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
    except (ValueError, OverflowError):
        return moment


def _ports(bindings: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Return the bindings as they were asked for: they are known of a stopped container as well."""
    found = {}
    for place, entries in bindings.items():
        number = place.partition("/")[0]
        for entry in entries if isinstance(entries, list) else []:
            host = str(entry.get("HostPort", "")) if isinstance(entry, dict) else ""
            if _PORT.fullmatch(number) and _PORT.fullmatch(host):
                found[int(number)] = (str(entry.get("HostIp", "")), int(host))
    return found


def _networks(found: Mapping[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {name: str(at.get("IPAddress", "")) if isinstance(at, dict) else "" for name, at in found.items()}


_OBJECT: dict[str, Any] = {}
_PODMAN = {"memTotal": int, "cpus": int, "distribution": _OBJECT}
_INFO = {
    "ServerErrors": [str],
    "MemTotal": int,
    "NCPU": int,
    "host": _PODMAN,
    "store": _OBJECT,
    "version": _OBJECT,
}
_NODES = [
    {
        "Config": {"Labels": _OBJECT},
        "State": _OBJECT,
        "HostConfig": {"PortBindings": _OBJECT},
        "NetworkSettings": {"Networks": _OBJECT},
    }
]
"""What an engine's answers look like where they are read (Docker Engine API, GET /info and /containers/{id}/json)."""


def _json(text: str, shape: Shape, instead: Any) -> Any:
    """Return what the engine printed as JSON; `instead` where it is nothing that an engine says."""
    try:
        return shaped(json.loads(text), shape)
    except (ValueError, RecursionError):
        return instead
