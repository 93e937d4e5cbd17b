"""Whether a port of this machine can be the cluster's: free, allowed to the engine, or held by our own node."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Probe
from contextcore_install.core.requirements import how_to_end
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.engine_info import EngineInfo
from contextcore_install.providers.kind.holders import HOLDING
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.system import machine
from contextcore_install.system.ports import bind_problem, free_port


@dataclass(frozen=True)
class PortProbe:
    """Looks at ports; `info` is None where the engine does not answer, and `nodes` are those of our cluster."""

    engine: ContainerEngine
    info: EngineInfo | None
    nodes: Callable[[], Sequence[Node]]
    bind_problem: Callable[[int], int] = bind_problem
    privileged_below: Callable[[], int] = machine.privileged_below

    def look(self, key: str, inside: int, port: int) -> Probe:
        """Look at the port of a component (`key`) that leads to the port `inside` the node."""
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
        bound = next((node.ports for node in self.nodes() if node.is_control_plane and node.state in HOLDING), {})
        if bound.get(inside, ("", 0))[1] == port:
            return Probe(f"{port} is held by our own cluster")
        try:
            holder = self._holder(port) if problem == errno.EADDRINUSE else ""
        except InstallError as error:
            return Probe(f"{port} is held; by whom, the engine does not say: {error.message}", skipped=True)
        facts |= {
            "ports": "fixed" if self.nodes() else "chosen",
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
