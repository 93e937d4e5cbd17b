"""Whether the ports that should lead into our nodes are held by them, or by somebody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import Node
from contextcore_install.providers.kind.owner import Owner

HOLDING = frozenset({"running", "paused", "restarting"})
"""States of a container in which the engine keeps its ports for it."""
#: Seconds for which a port that was our node's is taken to be still: asking the engine starts two programs.
STAYS_S = 10.0


class Holders:
    """Tells our own nodes from others that take connections on their ports.

    `nodes` asks the engine for the containers of the cluster's name, and `owner` reads our note; without one, the
    cluster was looked at and found ours by its own mark. `takes_connections` tells whether somebody listens on a port.
    """

    def __init__(
        self,
        nodes: Callable[[], Sequence[Node]],
        owner: Callable[[], Owner | None],
        takes_connections: Callable[[int], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._owner = owner
        self._takes_connections = takes_connections
        self._monotonic = monotonic
        self._ours: tuple[float, frozenset[int]] = (float("-inf"), frozenset())

    def stranger(self, port: int) -> str:
        """Say who listens on a port in place of our nodes; empty where that is they, nobody, or not known."""
        if not self._takes_connections(port):
            return ""
        asked_at, ours = self._ours
        if port in ours and self._monotonic() - asked_at < STAYS_S:
            return ""
        try:
            held = self._ports()
        except InstallError:
            return ""
        self._ours = (self._monotonic(), held)
        return "" if port in held else f"port {port} is held, and not by a node of this cluster that runs"

    def _ports(self) -> frozenset[int]:
        nodes, owner = self._nodes(), self._owner()
        ours = owner is None or owner.owns(nodes)
        holding = [node for node in nodes if ours and node.state in HOLDING]
        return frozenset(port for node in holding for _, port in node.ports.values())
