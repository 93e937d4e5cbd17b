"""Who holds the ports of the components: each its own, or somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from contextcore_install.providers.host.programs import Family
from contextcore_install.stack.catalogue import METRICS_STORE, Component, Port
from contextcore_install.system import machine
from contextcore_install.system.daemons import MARKER, Daemons
from contextcore_install.system.ports import takes_connections


def used_ports(item: Component, family: Family | None) -> Sequence[Port]:
    """Return the ports that a component listens on: only Mimir of the metrics stores has a second one."""
    if item.name == METRICS_STORE and (family is None or family.name != "mimir"):
        return [port for port in item.ports if port.key == METRICS_STORE]
    return item.ports


def stranger_in_place(item: Component, family: Family | None, ports: Mapping[str, int], daemons: Daemons) -> str:
    """Say who listens on a port of a component in its place; empty where that is nobody, or the component itself.

    No port is bound for it: that might be in the way of a component that is starting.
    """
    wanted = (ports[port.key] for port in used_ports(item, family))
    taken = [number for number in wanted if takes_connections(number)]
    own = daemons.pid(item.name) if taken else 0
    held = ((number, other_holder(number, own)) for number in taken)
    return next((f"port {number} is held by {who}" for number, who in held if who), "")


def other_holder(port: int, own: int) -> str:
    """Say who holds a port that somebody listens on; empty where it is the process `own`, or one that it started.

    Where this user may not know who it is, it is taken for `own` as long as that lives; 0 is nobody.
    """
    if own and machine.listens(own, port):
        return ""
    holder = machine.listener(port)
    if own and (holder is None or not holder.pid or machine.descends_from(holder.pid, own)):
        return ""
    return _words(holder)


def _words(holder: machine.Holder | None) -> str:
    """Say who holds a port; of our own processes, which cluster's."""
    if holder is None or not holder.pid:
        return "another program"
    who = f"{holder.name or 'a process'} (pid {holder.pid})"
    mark = machine.environment_of(holder.pid, MARKER)
    if not mark:
        return who
    # .../clusters/NAME/host/run/COMPONENT.pid
    record = Path(mark)
    cluster = record.parents[2] if len(record.parents) > 2 else record
    return f"{who}, the {record.stem} of the cluster {cluster.name} (its files are in {cluster})"
