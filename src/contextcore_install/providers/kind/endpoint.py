"""Where the container engine's command leads: to an engine of this machine, or to one whose ports are not ours."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contextcore_install.system.machine import in_another_network

DEFAULT_SOCKET = "unix:///var/run/docker.sock"  # docker/cli, opts/hosts.go


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """An address of an engine, and what chose it: `local` is the command that chooses this machine's engine again.

    `url` is empty if the command asks no server (Podman on Linux), or if the address is not known.
    """

    url: str = ""
    chosen_by: str = ""
    local: str = ""

    @property
    def shown(self) -> str:
        """The address without a user's name and password."""
        scheme, mark, rest = self.url.partition("://")
        return f"{scheme}{mark}{rest.rpartition('@')[2]}"

    @property
    def socket(self) -> Path | None:
        """The Unix socket, with symbolic links followed; None for any other address."""
        scheme, _, path = self.url.partition("://")
        return Path(os.path.realpath(path)) if scheme == "unix" and path else None

    @property
    def remote_host(self) -> str:
        """The name of another machine to which the address leads; empty for an address of this machine."""
        try:
            parts = urlsplit(self.url)
            host = (parts.hostname or "") if parts.scheme in {"tcp", "ssh", "http", "https"} else ""
        except ValueError:  # not an address, as the engine's command will say
            return ""
        return "" if not host or _is_this_machine(host) else host

    @property
    def in_another_network(self) -> bool:
        """Whether the engine is known to run in another network than this program, on the same machine."""
        return self.socket is not None and in_another_network(self.socket)


def endpoint_of(engine: str, environ: Mapping[str, str], platform: str = sys.platform) -> EngineEndpoint:
    """Return where an engine's command leads, from its variables and files; no process is started."""
    if engine == "docker":
        return _docker_endpoint(environ)
    return _podman_endpoint(environ, platform) if engine == "podman" else EngineEndpoint()


def _docker_endpoint(environ: Mapping[str, str]) -> EngineEndpoint:
    # The order is that of docker/cli, cli/command/cli.go, resolveContextName.
    if host := environ.get("DOCKER_HOST"):
        return EngineEndpoint(host if "://" in host else f"tcp://{host}", "DOCKER_HOST", "unset DOCKER_HOST")
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home()) / ".docker")
    asked = environ.get("DOCKER_CONTEXT", "")
    name = asked or _text_in(folder / "config.json", "currentContext")
    if name in {"", "default"}:
        return EngineEndpoint(DEFAULT_SOCKET)
    # docker/cli, cli/context/store/metadatastore.go
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    local = "unset DOCKER_CONTEXT" if asked else "docker context use default"
    return EngineEndpoint(_text_in(meta, "Endpoints", "docker", "Host"), f"the context {name}", local)


def _podman_endpoint(environ: Mapping[str, str], platform: str) -> EngineEndpoint:
    if host := environ.get("CONTAINER_HOST"):
        return EngineEndpoint(host, "CONTAINER_HOST", "unset CONTAINER_HOST")
    asked = environ.get("CONTAINER_CONNECTION", "")
    if not asked and platform == "linux":
        return EngineEndpoint()  # it works without a server there
    # containers/common, pkg/config/connections.go
    home = Path(environ.get("HOME") or Path.home())
    file = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "podman-connections.json"
    name = asked or _text_in(file, "Connection", "Default")
    local = "unset CONTAINER_CONNECTION" if asked else "podman system connection list"
    url = _text_in(file, "Connection", "Connections", name, "URI")
    return EngineEndpoint(url, f"the connection {name}", local) if name else EngineEndpoint()


def _is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine: a socket of ours can be bound to its address."""
    with suppress(OSError, UnicodeError):
        for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address[0], 0, *address[2:]))
                return True
    return False


def _text_in(path: Path, *names: str) -> str:
    """Return the text at a place in a JSON document; empty if there is none."""
    found: Any = None
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
