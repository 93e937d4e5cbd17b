"""What must hold of an installation, by category, and what a provider tells of one that runs."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass
from enum import StrEnum

from contextcore_install.core.findings import Finding


class Category(StrEnum):
    """What a requirement is about; the values are labels of metrics, and so an interface."""

    TOOLING = "tooling"
    INFRASTRUCTURE = "infrastructure"
    OBSERVABILITY = "observability"
    DATA_PERSISTENCE = "data_persistence"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class Piece:
    """A claim or a folder of data.

    `id` stays the same for as long as the data does; empty where the piece was emptied, or has none yet. `since` says
    when it was made, as RFC 3339 has it; empty where that is not known.
    """

    name: str
    id: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a component keeps its data now: a folder, claims; empty where it keeps none.

    `finding` is set where the data would not outlive the component. `in_memory` says whether the place itself is lost
    when the machine stops; None where that is not to be seen from here. `pieces` are what can be told from another one
    in its place.
    """

    component: str
    place: str
    evidence: str
    finding: Finding | None = None
    in_memory: bool | None = None
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    """Where something of the installation takes connections. `is_open` where others than this machine can connect."""

    owner: str
    place: str
    is_open: bool


def socket_listener(owner: str, address: str, port: int) -> Listener:
    """Return a listener on an address of this machine; what is no address of loopback's is open."""
    try:
        # Without its zone, and as IPv4 where it is that.
        parsed = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(parsed, "ipv4_mapped", None)
        loopback = (mapped or parsed).is_loopback
    except ValueError:
        loopback = False
    return Listener(owner, f"{address or '0.0.0.0'}:{port}", not loopback)  # noqa: S104 - what an empty one means


_PROCESS = re.compile(r"\(pid (\d+)\)")
_CONTAINER = re.compile(r"^the container ([\w.-]+)$")


def how_to_end(holder: str, port: int, engine: str = "docker") -> str:
    """Return the command that ends the holder of a port, or the one that names it where the words for it do not."""
    if found := _PROCESS.search(holder):
        return f"kill {found[1]}"
    if found := _CONTAINER.match(holder):
        return f"{engine} stop {found[1]}"
    if sys.platform == "darwin":
        return f"sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"
    return f"sudo ss -ltnp sport = :{port}"
