"""The stack as processes of this user on this machine, without a container engine."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.provider import HostProvider
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.system.files import read_object

create = HostProvider
held_ports = resolve_ports  # all of them: which programs are there may change


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    """Return the ports that the processes were started with; None if there is no folder of theirs."""
    layout = Layout(config.cluster, config.folder.absolute() / "host")
    if not layout.marker.is_file():
        return None
    kept = read_object(layout.chosen_ports) or {}
    return {key: port for key, port in kept.items() if isinstance(port, int)}
