"""The ports that lead into the nodes: whether the cluster can have them, and who holds them now."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Probe
from contextcore_install.core.requirements import how_to_end
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import HOLDING_PORTS, EngineInfo, Node
from contextcore_install.providers.kind.owner import Owner
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.system import machine
from contextcore_install.system.ports import bind_problem, free_port

#: Seconds for which a port that was our node's is assumed to be still: asking the engine starts two programs.
ASSUMED_S = 10.0


class PortHolders:
    """Tells our own nodes from others that take connections on their ports.

    `nodes` asks the engine for the containers of the cluster's name, and `owner` reads our note; without one, the
    cluster was found to be ours by its own mark. `takes_connections` tells whether somebody listens on a port.
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
        """Say who listens on a port in place of our nodes; empty if that is they, nobody, or unknown."""
        if not self._takes_connections(port):
            return ""
        asked_at, ours = self._ours
        if port in ours and self._monotonic() - asked_at < ASSUMED_S:
            return ""
        try:
            nodes, owner = self._nodes(), self._owner()
        except InstallError:
            return ""
        holding = [node for node in nodes if node.state in HOLDING_PORTS and (owner is None or owner.owns(nodes))]
        ours = frozenset(here for node in holding for _, here in node.ports.values())
        self._ours = (self._monotonic(), ours)
        return "" if port in ours else f"port {port} is held, and not by a node of this cluster that runs"


@dataclass(frozen=True)
class PortProbe:
    """Probes ports; `info` is None if the engine does not answer, and `nodes` are those of our cluster."""

    engine: ContainerEngine
    info: EngineInfo | None
    nodes: Callable[[], Sequence[Node]]
    bind_problem: Callable[[int], int] = bind_problem
    privileged_below: Callable[[], int] = machine.privileged_below

    def probe(self, key: str, inside: int, port: int) -> Probe:
        """Probe the port of a component (`key`) that leads to the port `inside` the node."""
        facts = {
            "port": str(port),
            "port_key": key,
            "who_needs": key,
            "purpose": PORTS[key].purpose,
            "privileged_below": str(self.privileged_below()),
            "rootless": "yes" if self.info is not None and self.info.rootless else "no",
        }
        problem = self.bind_problem(port)
        if problem == 0:
            return Probe(f"{port} is free", machine_findings(facts, f"{port} is free"))
        if self.info is None:
            # Containers outlive their engine, and the proxies that hold their ports do, too.
            return Probe(f"{port} is held; by whom, the engine does not say", skipped=True)
        if problem == errno.EACCES and not self.info.rootless:
            return Probe(f"{port} is free, and the engine may use it")
        nodes = self.nodes()
        bound = next((node.ports for node in nodes if node.is_control_plane and node.state in HOLDING_PORTS), {})
        if bound.get(inside, ("", 0))[1] == port:
            return Probe(f"{port} is held by our own cluster")
        try:
            holder = self._holder(port) if problem == errno.EADDRINUSE else ""
        except InstallError as error:
            return Probe(f"{port} is held; by whom, the engine does not say: {error.message}", skipped=True)
        facts |= {
            "ports": "fixed" if nodes else "chosen",
            "end_holder": how_to_end(holder, port, self.engine.name),
            "free_port": str(free_port(max(port, 1024))),
            "bind": errno.errorcode.get(problem, "?"),
            "why": os.strerror(problem),
            "holder": holder,
        }
        return Probe(findings=machine_findings(facts))

    def _holder(self, port: int) -> str:
        """Say who holds a port; behind the engine's own proxy, which container. Raises InstallError."""
        names = self.engine.call("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").split()
        if names:
            return f"the container {names[0]}"
        holder = machine.listener(port)
        if holder is None or not holder.pid:
            return "another program"
        return f"{holder.name or 'a process'} (pid {holder.pid})"
