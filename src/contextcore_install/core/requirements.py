"""What must hold of an installation, by category, and what a provider tells of one that runs."""

from __future__ import annotations

import ipaddress
import re
import sys
from enum import StrEnum

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.findings import Finding


class Category(StrEnum):
    """What a requirement is about; the values are labels of metrics."""

    TOOLING = "tooling"
    INFRASTRUCTURE = "infrastructure"
    OBSERVABILITY = "observability"
    DATA_PERSISTENCE = "data_persistence"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class DataPiece:
    """A claim or a folder of data.

    `id` identifies the data, and is empty if there is none (yet); `since` is when it was made (RFC 3339), if known.
    """

    name: str
    id: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a component keeps its data now: a folder, claims; empty if it keeps none.

    `finding` is set if the data would not outlive the component. `in_memory` says whether the place itself is lost when
    the machine stops; None if that cannot be seen from here.
    """

    component: str
    place: str
    evidence: str
    finding: Finding | None = None
    in_memory: bool | None = None
    pieces: tuple[DataPiece, ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the installation takes connections; `is_open` says that other machines can connect."""

    owner: str
    place: str
    is_open: bool


def socket_listener(owner: str, address: str, port: int) -> Listener:
    """Return a listener on an address of this machine: open unless it is a loopback address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])  # without its zone
        loopback = (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
    except ValueError:
        loopback = False
    return Listener(owner, f"{address or '0.0.0.0'}:{port}", not loopback)  # noqa: S104 - what an empty one means


_PROCESS = re.compile(r"\(pid (\d+)\)")
_CONTAINER = re.compile(r"^the container ([\w.-]+)$")


def how_to_end(holder: str, port: int, engine: str = "docker") -> str:
    """Return the command that ends the holder of a port or, if the description does not tell, the one that names it."""
    if found := _PROCESS.search(holder):
        return f"kill {found[1]}"
    if found := _CONTAINER.match(holder):
        return f"{engine} stop {found[1]}"
    if sys.platform == "darwin":
        return f"sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"
    return f"sudo ss -ltnp sport = :{port}"
