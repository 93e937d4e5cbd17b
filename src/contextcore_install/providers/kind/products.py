"""The products that run a container engine, most in a virtual machine: how each is told, started and changed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

IN_WINDOWS = "microsoft" in os.uname().release.lower()
"""Whether this is a Linux of WSL2."""
DOCKER_APP = Path("/Applications/Docker.app")


@dataclass(frozen=True, slots=True)
class Product:
    """A product, told by its socket's path or by what the engine says of its system.

    `start`, `memory`, `restart` and `trust` are commands, or where to do it: they start it, give it 8 GiB, start it
    anew (which sets a virtual machine's clock), and have it trust the authority in the file ca.crt. `program` is its
    command. Commands may use the named groups of `socket`.
    """

    name: str
    socket: str
    system: str
    start: str
    memory: str
    restart: str
    trust: str
    program: str = ""

    def filled(self, socket: str) -> Product:
        """Return the product with the names that its socket's path holds in its commands."""
        found = re.search(self.socket, socket)
        names = {"profile": "default", "instance": "default"}
        names.update({key: value for key, value in found.groupdict().items() if value} if found else {})
        texts = {key: getattr(self, key).format_map(names) for key in ("start", "memory", "restart", "trust")}
        return Product(self.name, self.socket, self.system, **texts, program=self.program)


_STORE = "sudo cp ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates"
_LINUX = f"{_STORE} && sudo systemctl restart docker"
_MACHINE_STORE = f'"{_STORE} && sudo systemctl restart docker"'

_DESKTOP = Product(
    name="Docker Desktop",
    socket=r"/\.docker/(run|desktop)/docker[\w.-]*\.sock",
    system=r"^docker[ -]desktop",
    start="open -a Docker",
    memory="Docker Desktop: Settings, Resources, Memory",
    restart="docker desktop restart",
    trust="sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.crt"
    " && docker desktop restart",
)
_DESKTOP_ON_LINUX = Product(
    name="Docker Desktop",
    socket=_DESKTOP.socket,
    system=_DESKTOP.system,
    start="systemctl --user start docker-desktop",
    memory=_DESKTOP.memory,
    restart="systemctl --user restart docker-desktop",
    trust=f"{_STORE} && systemctl --user restart docker-desktop",
)
_DESKTOP_ON_WINDOWS = Product(
    name="Docker Desktop",
    socket=_DESKTOP.socket,
    system=_DESKTOP.system,
    start="powershell.exe -Command \"Start-Process 'C:\\Program Files\\Docker\\Docker\\Docker Desktop.exe'\"",
    memory="memory=8GB below [wsl2] in .wslconfig in your Windows home folder, then: wsl.exe --shutdown",
    restart="wsl.exe --shutdown",
    trust="certutil.exe -user -addstore Root ca.crt && wsl.exe --shutdown",
)
_COLIMA = Product(
    name="Colima",
    socket=r"/\.(?:config/)?colima/(?:(?P<profile>[\w.-]+)/)?docker\.sock",
    system=r"^colima",
    start="colima start {profile}",
    memory="colima stop {profile} && colima start {profile} --memory 8",
    restart="colima restart {profile}",
    trust="colima ssh --profile {profile} -- sh -c " + _MACHINE_STORE,
    program="colima",
)
_ORBSTACK = Product(
    name="OrbStack",
    socket=r"/\.orbstack/run/docker\.sock",
    system=r"^orbstack",
    start="orb start",
    memory="orb config set memory_mib 8192",
    restart="orb stop && orb start",
    trust="",
    program="orb",
)
_RANCHER = Product(
    name="Rancher Desktop",
    socket=r"/\.rd/docker\.sock",
    system=r"^(lima-)?rancher[ -]desktop",
    start="rdctl start",
    memory="rdctl set --virtual-machine.memory-in-gb 8",
    restart="rdctl shutdown && rdctl start",
    trust="",
    program="rdctl",
)
_LIMA = Product(
    name="Lima",
    socket=r"/\.lima/(?P<instance>[\w.-]+)/sock/docker\.sock",
    system=r"^lima-",
    start="limactl start {instance}",
    memory="limactl stop {instance} && limactl edit {instance} --memory 8 && limactl start {instance}",
    restart="limactl stop {instance} && limactl start {instance}",
    trust="limactl shell {instance} sh -c " + _MACHINE_STORE,
    program="limactl",
)
_PODMAN_MACHINE = Product(
    name="Podman's machine",
    socket=r"podman[\w-]*-api\.sock|/podman-machine|/podman/podman\.sock",
    system=r"^podman-machine",
    start="podman machine start",
    memory="podman machine stop && podman machine set --memory 8192 && podman machine start",
    restart="podman machine stop && podman machine start",
    trust='podman machine ssh "sudo tee /etc/pki/ca-trust/source/anchors/ca.crt && sudo update-ca-trust" <ca.crt',
)
_ROOTLESS = Product(
    name="The rootless Docker",
    socket=r"/run/user/\d+/docker\.sock",
    system=r"^$a",
    start="systemctl --user start docker",
    memory="this machine needs more",
    restart="systemctl --user restart docker",
    trust=f"{_STORE} && systemctl --user restart docker",
)
DOCKER = Product(
    name="The container engine",
    socket=r"/docker\.sock$",
    system=r"",
    start="sudo systemctl start docker",
    memory="this machine needs more",
    restart="sudo systemctl restart docker",
    trust=_LINUX,
)
PODMAN = Product(
    name="The container engine",
    socket=r"/podman/podman\.sock$",
    system=r"",
    start="systemctl --user start podman.socket",
    memory="this machine needs more",
    restart="systemctl --user restart podman.socket",
    trust=_STORE,
)


def product_of(
    engine: str,
    told: Iterable[str],
    environ: Mapping[str, str],
    *,
    system: Iterable[str] = (),
    platform: str = sys.platform,
    windows: bool = IN_WINDOWS,
) -> Product:
    """Return the product that an engine is, from texts that may hold the path of its socket, and its system's names.

    `windows` says that this system runs in Windows (WSL2).
    """
    desktop = {"darwin": _DESKTOP}.get(platform, _DESKTOP_ON_WINDOWS if windows else _DESKTOP_ON_LINUX)
    machines = (desktop, _COLIMA, _ORBSTACK, _RANCHER, _LIMA, _ROOTLESS)
    texts = list(told)
    for product in machines:
        if text := next((text for text in texts if re.search(product.socket, text)), ""):
            return product.filled(text)
        if any(re.search(product.system, name, re.IGNORECASE) for name in system):
            return product.filled("")
    if engine == "podman":
        return _PODMAN_MACHINE if platform == "darwin" else PODMAN
    if platform != "darwin":
        return DOCKER
    return _installed(machines, environ, desktop).filled("")


def _installed(machines: Iterable[Product], environ: Mapping[str, str], desktop: Product) -> Product:
    """Return a product that is there on a Mac on which nothing says which one the engine was."""
    there = (item for item in machines if item.program and shutil.which(item.program, path=environ.get("PATH")))
    return desktop if DOCKER_APP.exists() else next(there, desktop)
