"""The container engine that kind works with: Docker or Podman, through its command."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.failures import engine_failure
from contextcore_install.providers.kind.endpoint import EngineEndpoint, endpoint_of
from contextcore_install.providers.kind.engine_info import EngineInfo, as_json, read_info_text
from contextcore_install.providers.kind.products import Product, product_of
from contextcore_install.system import process
from contextcore_install.system.capture import Captured, capture

CLUSTER_LABEL, ROLE_LABEL = "io.x-k8s.kind.cluster", "io.x-k8s.kind.role"
#: Seconds for the engine to answer a question, and for which one that did not is asked nothing more.
ASK_S, SILENT_S = 20.0, 30.0
_silent: dict[tuple[str, str], tuple[float, InstallError]] = {}
"""Engines that did not answer, with the moment and the error: a run makes several objects of the same engine."""
_IN_A_CONTAINER = frozenset({"exec", "cp", "logs"})
"""Commands whose silence may be a container's, and says nothing of the engine."""
_PORT = re.compile(r"[0-9]{1,5}")
_WITH_OFFSET = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:\d\d)")
# moby/api and podman/libpod/define/errors.go
_GONE = re.compile(r"no such (?:container|object)", re.IGNORECASE)


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


class ContainerEngine:
    """Asks and tells the engine. Nothing is started before it is asked for; `refused` is why it is asked nothing."""

    def __init__(self, name: str, environ: Mapping[str, str], refused: InstallError | None = None) -> None:
        self.name = name
        self.environ = environ
        self._refused = refused

    @cached_property
    def endpoint(self) -> EngineEndpoint:
        """Where the engine's command leads."""
        return endpoint_of(self.name, self.environ)

    @cached_property
    def _identity(self) -> tuple[str, str]:
        """The command and where it leads."""
        return shutil.which(self.name, path=self.environ.get("PATH", os.defpath)) or "", self.endpoint.url

    def ask(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> Captured:
        """Run a command of the engine and return how it ended.

        Raises InstallError: what the engine's silence or absence means. One that has just been silent is not asked for
        a while: else a hung engine would be waited for at each of its ports and nodes.
        """
        if self._refused is not None:
            raise self._refused
        silent_at, why = _silent.get(self._identity, (float("-inf"), None))
        if why is not None and time.monotonic() - silent_at < SILENT_S:
            raise why
        try:
            return capture([self.name, *arguments], environ=self.environ, timeout_s=timeout_s, ctx=ctx)
        except InstallError as error:
            if error.code == "command-timeout" and arguments[0] in _IN_A_CONTAINER:
                raise
            found = engine_failure([error.message], self.facts(), error.code)
            why = replace(found.error(), retryable=error.retryable)
            if error.code == "command-timeout":
                _silent[self._identity] = (time.monotonic(), why)
            raise why from error

    def call(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> str:
        """Run a command of the engine and return what it printed; raises InstallError where it fails."""
        done = self.ask(*arguments, timeout_s=timeout_s, ctx=ctx)
        if done.exit_code != 0:
            raise self._failure(done)
        return done.stdout

    def _failure(self, done: Captured) -> InstallError:
        lines = done.stderr.splitlines() or [done.stdout[:400]]
        return replace(engine_failure(lines, self.facts(lines)).error(), retryable=True)

    def product(self, told: Sequence[str] = (), info: EngineInfo | None = None) -> Product:
        """Return the product that the engine is, as far as its socket, what it said, and its system tell."""
        system = (info.system, info.host) if info is not None else ()
        places = (*told, self.endpoint.url, str(self.endpoint.socket or ""))
        return product_of(self.name, places, self.environ, system=system)

    def facts(self, told: Sequence[str] = ()) -> dict[str, str]:
        """Return what the sentences about the engine need to know; `told` is what it, or who asked it, has said."""
        product = self.product(told)
        return {
            "engine": self.name,
            "product": product.name,
            "start": product.start,
            "restart": product.restart,
            "trust": product.trust or f"{self.name} info",
            "chosen_by": self.endpoint.chosen_by or "nothing else was chosen",
            "local": self.endpoint.local or "docker context use default",
        }

    def trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        """Return what the engine says about itself, or why it does not."""
        try:
            done = self.ask("info", "--format", "{{json .}}")
        except InstallError as why:
            return None, Finding(why.code, why.message, why.evidence, Remedy(why.hint, why.hint))
        info, problems = read_info_text(done.stdout)
        if done.exit_code != 0 or problems or info is None:
            lines = [*problems, *done.stderr.splitlines()]
            return None, engine_failure(lines, self.facts(lines)).finding
        return info, None

    def identity(self) -> str:
        """Return what the engine calls itself, and no other does; empty where it does not say (Podman)."""
        done = self.ask("info", "--format", "{{.ID}}") if self.name == "docker" else None
        return done.stdout.strip() if done is not None and done.exit_code == 0 else ""

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
        found = [read_node(item) for item in as_json(done.stdout, _NODES, [])]
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
_NODES = [
    {
        "Config": {"Labels": _OBJECT},
        "State": _OBJECT,
        "HostConfig": {"PortBindings": _OBJECT},
        "NetworkSettings": {"Networks": _OBJECT},
    }
]
"""What an engine says of containers where it is read (Docker Engine API, GET /containers/{id}/json)."""
