"""The products that run a container engine, from products.toml: which one an engine is, and its commands."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

IN_WINDOWS = "microsoft" in os.uname().release.lower()  # whether this is a Linux of WSL2
DOCKER_APP = Path("/Applications/Docker.app")
_RECOGNISED = ("colima", "orbstack", "rancher", "lima", "rootless")
_NAMES = {
    "profile": "default",
    "instance": "default",
    "store": "sudo cp ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",
}


@dataclass(frozen=True, slots=True)
class Product:
    """A product, as products.toml describes its fields."""

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
        names = _NAMES | {key: value for key, value in (found.groupdict() if found else {}).items() if value}
        texts = asdict(self)
        return Product(**texts | {key: texts[key].format_map(names) for key in ("start", "memory", "restart", "trust")})


@cache
def all_products() -> Mapping[str, Product]:
    document = tomllib.loads(Path(__file__).with_name("products.toml").read_text(encoding="utf-8"))
    return {key: Product(**fields) for key, fields in document.items()}


def product_of(
    engine: str,
    texts: Iterable[str],
    environ: Mapping[str, str],
    *,
    system: Iterable[str] = (),
    platform: str = sys.platform,
    windows: bool = IN_WINDOWS,
) -> Product:
    """Return the product that an engine is, from texts that may hold the path of its socket, and its system's names.

    `windows` says that this system runs in Windows (WSL2).
    """
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
