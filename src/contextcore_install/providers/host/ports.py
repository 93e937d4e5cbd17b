"""Who listens on the ports of the components: each its own, or somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contextcore_install.core.requirements import Listener, socket_listener
from contextcore_install.stack.catalogue import METRICS_STORE, MIMIR, Component, MetricsStore, Port
from contextcore_install.system import machine
from contextcore_install.system.daemons import MARKER, Daemons
from contextcore_install.system.ports import takes_connections


def used_ports(component: Component, store: MetricsStore | None) -> Sequence[Port]:
    """Return the ports that a component listens on: only Mimir of the metrics stores has a second one."""
    if component.name == METRICS_STORE and store is not MIMIR:
        return [port for port in component.ports if port.key == METRICS_STORE]
    return component.ports


def stranger_in_place(
    component: Component, store: MetricsStore | None, ports: Mapping[str, int], daemons: Daemons
) -> str:
    """Describe who listens on a port of a component in its place; empty if that is nobody, or the component itself.

    No port is bound for it: that might be in the way of a component that is starting.
    """
    wanted = (ports[port.key] for port in used_ports(component, store))
    taken = [number for number in wanted if takes_connections(number)]
    own = daemons.pid(component.name) if taken else 0
    held = ((number, other_holder(number, own)) for number in taken)
    return next((f"port {number} is held by {who}" for number, who in held if who), "")


def other_holder(port: int, own: int) -> str:
    """Describe who holds a port that somebody listens on; empty if it is the process `own`, or one that it started.

    If this user may not know who it is, it is taken for `own` as long as that lives; 0 is nobody.
    """
    if own and machine.listens(own, port):
        return ""
    holder = machine.listener(port)
    if own and (holder is None or not holder.pid or machine.descends_from(holder.pid, own)):
        return ""
    if holder is None or not holder.pid:
        return "another program"
    who = f"{holder.name or 'a process'} (pid {holder.pid})"
    mark = machine.environment_of(holder.pid, MARKER)
    if not mark:
        return who
    record = Path(mark)  # …/clusters/NAME/host/run/COMPONENT.pid
    cluster = record.parents[2] if len(record.parents) > 2 else record
    return f"{who}, the {record.stem} of the cluster {cluster.name} (its files are in {cluster})"


def listeners(daemons: Daemons) -> Iterator[Listener]:
    """Yield where the processes listen, those that they started included."""
    for name in daemons.names():
        sighting = daemons.look(name)
        if sighting.alive and sighting.record:
            for address, port in machine.listening(sighting.record.pid):
                yield socket_listener(name, address, port)
