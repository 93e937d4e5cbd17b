"""Where the container engine's command leads: to an engine of this machine or another, and of which product."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import asdict, dataclass
from contextcore_install.core.tables import read_table
from contextcore_install.system.machine import in_another_network

IN_WINDOWS = "microsoft" in os.uname().release.lower()  # whether this is a Linux of WSL2
DOCKER_APP = Path("/Applications/Docker.app")
_RECOGNISED = ("colima", "orbstack", "rancher", "lima", "rootless")
_PRODUCTS = Path(__file__).with_name("products.toml")
DEFAULT_SOCKET = "unix:///var/run/docker.sock"  # docker/cli, opts/hosts.go


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """An address of an engine, and what chose it."""

    url: str = ""  # empty if the command asks no server (Podman on Linux), or if it is not known
    chosen_by: str = ""
    local: str = ""  # the command that chooses this machine's engine again

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
    home = Path(environ.get("HOME") or Path.home())
    if engine == "docker":
        return _docker_endpoint(environ, home)
    return _podman_endpoint(environ, home, platform) if engine == "podman" else EngineEndpoint()


def _docker_endpoint(environ: Mapping[str, str], home: Path) -> EngineEndpoint:
    # The order is that of docker/cli, cli/command/cli.go, resolveContextName.
    if host := environ.get("DOCKER_HOST"):
        return EngineEndpoint(host if "://" in host else f"tcp://{host}", "DOCKER_HOST", "unset DOCKER_HOST")
    folder = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    asked = environ.get("DOCKER_CONTEXT", "")
    name = asked or _text_in(folder / "config.json", "currentContext")
    if name in {"", "default"}:
        return EngineEndpoint(DEFAULT_SOCKET)
    # docker/cli, cli/context/store/metadatastore.go
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    local = "unset DOCKER_CONTEXT" if asked else "docker context use default"
    return EngineEndpoint(_text_in(meta, "Endpoints", "docker", "Host"), f"the context {name}", local)


def _podman_endpoint(environ: Mapping[str, str], home: Path, platform: str) -> EngineEndpoint:
    if host := environ.get("CONTAINER_HOST"):
        return EngineEndpoint(host, "CONTAINER_HOST", "unset CONTAINER_HOST")
    asked = environ.get("CONTAINER_CONNECTION", "")
    if not asked and platform == "linux":
        return EngineEndpoint()  # it works without a server there
    # containers/common, pkg/config/connections.go
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


@dataclass(frozen=True, slots=True)
class Product:
    """A product that runs a container engine, as products.toml describes its fields."""

    name: str
    start: str
    memory: str
    restart: str
    trust: str
    socket: str = ""
    system: str = ""
    program: str = ""

    def filled(self, socket: str) -> Product:
        """Return the product with the names that its socket's path holds in its commands."""
        found = re.search(self.socket, socket)
        named = {key: value for key, value in found.groupdict().items() if value} if found else {}
        names, texts = read_table(_PRODUCTS)["names"] | named, asdict(self)
        return Product(**texts | {key: texts[key].format_map(names) for key in ("start", "memory", "restart", "trust")})


@cache
def all_products() -> Mapping[str, Product]:
    return {key: Product(**fields) for key, fields in read_table(_PRODUCTS).items() if key != "names"}


def product_of(
    engine: str,
    texts: Iterable[str],
    environ: Mapping[str, str],
    *,
    system: Iterable[str] = (),
    platform: str = sys.platform,
    windows: bool = IN_WINDOWS,
) -> Product:
    """Return the product that an engine is, by texts that may hold its socket's path, and its system's names."""
    products, texts = all_products(), list(texts)
    desktop = products[f"desktop-{'darwin' if platform == 'darwin' else 'windows' if windows else 'linux'}"]
    candidates = (desktop, *(products[key] for key in _RECOGNISED))
    for product in candidates:
        if text := next((text for text in texts if re.search(product.socket, text)), ""):
            return product.filled(text)
        if product.system and any(re.search(product.system, name, re.IGNORECASE) for name in system):
            return product.filled("")
    if platform != "darwin":
        return products["podman" if engine == "podman" else "docker"].filled("")
    if engine == "podman":
        return products["podman-machine"].filled("")
    # Nothing says which one it is on a Mac: one that is installed
    installed = (item for item in candidates if item.program and shutil.which(item.program, path=environ.get("PATH")))
    return (desktop if DOCKER_APP.exists() else next(installed, desktop)).filled("")
