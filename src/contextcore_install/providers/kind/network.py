"""The engine's network that a cluster's nodes share, and putting a node on it again that was taken off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.inspector import ClusterSnapshot


def shared_network(nodes: Sequence[Node], default: str) -> str:
    """Return the network that most of the nodes are on; the default if none is on any."""
    counted = Counter(name for node in nodes for name in node.networks or ())
    return default if not counted or default in counted else counted.most_common(1)[0][0]


def detached(nodes: Sequence[Node], network: str) -> list[Node]:
    """Return the nodes that are not on the network, as far as the engine says."""
    return [node for node in nodes if node.networks is not None and network not in node.networks]


def reconnect(engine: ContainerEngine, cluster: str, sight: ClusterSnapshot, ctx: StepContext) -> None:
    """Put nodes on the network again that were taken off. Raises InstallError.

    A node whose address has changed is restarted: it reads its address, and tells the kubelet, when it starts. Engines
    give the lowest free address, so that nodes connected in the order of theirs get them back.
    """
    network, known = shared_network(sight.nodes, engine.network), _addresses(sight)
    off = detached(sight.nodes, network)
    names = sorted((node.name for node in off), key=lambda name: _number(known.get(name, "")))
    for name in names:
        ctx.notice(f"{name} was taken off the network {network}; it is connected again")
        engine.call("network", "connect", network, name, ctx=ctx)
    for node in engine.nodes(cluster) if names else ():
        address = (node.networks or {}).get(network, "")
        if node.name in names and node.state == "running" and known.get(node.name, address) != address:
            ctx.notice(f"{node.name} has another address than before, {address}; its container is restarted")
            engine.restart(node, ctx)


def _addresses(sight: ClusterSnapshot) -> dict[str, str]:
    """Return the address that each node has told the cluster."""
    return {
        member["metadata"]["name"]: str(entry.get("address", ""))
        for member in sight.members
        for entry in (member.get("status") or {}).get("addresses") or []
        if entry.get("type") == "InternalIP" and "." in str(entry.get("address", ""))
    }


def _number(address: str) -> int:
    try:
        return int(ip_address(address))
    except ValueError:
        return 0
