"""Which ports of this machine an installation has that does not say: the usual ones, unless a neighbour has them.

A neighbour is another installation in the same home, whether it runs or not. Beside one that has usual ports, all that
were not given come from the first block of a hundred whose ports nobody has: 20100, 20200, up to 29900. No system gives
these to outgoing connections (Linux: 32768 to 60999; macOS and Windows: from 49152), and node ports begin at 30000.
A process that is no installation's moves nobody: preflight names it, so that the usual addresses stay true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.cli.settings import is_cluster_name
from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.engine.state import State
from contextcore_install.providers.registry import PROVIDERS, held_ports, recollect
from contextcore_install.runtime.app import App
from contextcore_install.runtime.selection import Selection
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.storage.store import read_records
from contextcore_install.system.ports import bind_problem

BLOCKS = range(20_100, 30_000, 100)  # the first port of each block


def allocate_ports(app: App, state: State, selection: Selection) -> tuple[Selection, list[str]]:
    """Return the selection, a new installation's with the ports that neighbours leave it, and notices."""
    if "ports" in state.settings or selection.was_found:
        return selection, []
    others = (name for name in app.home.cluster_names() if is_cluster_name(name) and name != app.settings.cluster)
    given, taken = selection.ports, {port: name for name in others for port in _held_by(app, name).values()}
    usual = {key: port for key, port in held_ports(selection.provider, given).items() if key not in given}
    neighbours = ", ".join(sorted({taken[port] for port in usual.values() if port in taken}))
    chosen = _free_block(usual, {*taken, *given.values()}) if neighbours else {}
    if not chosen:
        return selection, []
    shown = ", ".join(f"{key} {port}" for key, port in chosen.items() if not PORTS[key].internal)
    notice = f"{neighbours} has the usual ports; those of this one are {shown}"
    return replace(selection, ports={**chosen, **given}), [notice]


def _free_block(keys: Mapping[str, int], taken: set[int]) -> dict[str, int]:
    """Return a port for each key, always at its own place, from the first block that is free; none if all are full."""
    for first in BLOCKS:
        ports = {key: first + place for place, key in enumerate(PORTS) if key in keys}
        if taken.isdisjoint(ports.values()) and not any(map(bind_problem, ports.values())):
            return ports
    return {}


def _held_by(app: App, name: str) -> Mapping[str, int]:
    """Return the ports that an installation has; if its records are gone, those of what its folder holds."""
    layout = app.home.cluster(name)
    try:
        settings = read_records(layout, name).state.settings
        if "ports" in settings:
            return recorded_ports(settings)
        found = next((kind for kind in PROVIDERS if (layout.folder / kind).is_dir()), "")
        config = ProviderConfig(name, layout.folder, app.home.bin, app.environ)
        made = recollect(found, config) if found else None
        return {} if made is None else held_ports(found, made)
    except InstallError:
        return {}  # what is alive of it holds its ports itself


def recorded_ports(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the ports of this machine that an installation with these settings, written by anybody, has, by key."""
    provider, ports = str(settings.get("provider")), settings.get("ports")
    if provider not in PROVIDERS or not isinstance(ports, dict):
        return {}
    known = {key: port for key, port in ports.items() if key in PORTS and isinstance(port, int)}
    try:
        return held_ports(provider, known)
    except InstallError:  # one port for two
        return {}
