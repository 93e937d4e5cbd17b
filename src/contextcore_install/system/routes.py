"""This machine's routes, as the kernel lists them, and who has taken the ranges that an engine's networks come from."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

TABLE = Path("/proc/net/route")
POOLS = tuple(
    [IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)]
    + [IPv4Network(f"192.168.{number}.0/20") for number in range(0, 256, 16)]
)
"""What Docker makes networks from when it is told nothing else (moby, libnetwork/ipamutils)."""
_OWN = ("docker", "br-", "veth", "podman", "cni", "lo")


def routes(table: str) -> Iterator[tuple[str, IPv4Network]]:
    """Yield the interface and destination of each route in the text of /proc/net/route (proc(5)), but no default."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        address, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
        if mask:
            yield fields[0], IPv4Network((int(IPv4Address(address & mask)), mask.bit_count()))


def taker_of_pools(table: str) -> str:
    """Return the interfaces whose routes, together with others', leave an engine no range; empty where one is left."""
    known = list(routes(table))
    if not all(any(pool.overlaps(network) for _, network in known) for pool in POOLS):
        return ""
    taking = {
        interface
        for interface, network in known
        if not interface.startswith(_OWN) and sum(pool.overlaps(network) for pool in POOLS) > 1
    }
    return ", ".join(sorted(taking))
