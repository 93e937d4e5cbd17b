"""What every command is given: the settings, and the world it works in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from contextcore_install.cli.grammar import DEFAULT_CLUSTER
from contextcore_install.cli.settings import Settings
from contextcore_install.core.dataclass import dataclass
from contextcore_install.providers.registry import PROVIDERS, create_provider, found_by
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.storage.journal.segments import SEGMENT_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:  # what --status does without
    from typing import TextIO

    from contextcore_install.core.interfaces import Clock
    from contextcore_install.core.provider import Provider, ProviderConfig
    from contextcore_install.engine.plan import Plan
    from contextcore_install.ui.hints import Commands


@dataclass(frozen=True, slots=True)
class App:
    """One invocation in its surroundings."""

    settings: Settings
    environ: Mapping[str, str]
    home: Home
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    clock: Clock
    create_provider: Callable[[str, ProviderConfig], Provider] = create_provider
    create_plan: Callable[..., Plan] | None = None  # from StepTools; steps/registry.py has the usual one
    segment_bytes: int = SEGMENT_BYTES

    @property
    def layout(self) -> ClusterLayout:
        return self.home.cluster(self.settings.cluster)

    @property
    def json(self) -> bool:
        """Whether standard output is for a script."""
        return self.settings.output == "json"

    @property
    def commands(self) -> Commands:
        """The commands that a user of this invocation types, with what they need of its flags and variables."""
        from contextcore_install.ui.hints import Commands

        settings = self.settings
        usual = self.environ.get("HOME", "") + "/.contextcore"
        chosen = bool(self.environ.get("CONTEXTCORE_HOME")) and str(self.home.folder) != usual
        named = settings.provider if settings.provider in PROVIDERS else self._provider_left()
        return Commands(
            settings.program,
            settings.cluster,
            DEFAULT_CLUSTER if settings.default_cluster == DEFAULT_CLUSTER else "",
            settings.given_flags,
            {"CONTEXTCORE_HOME": str(self.home.folder)} if chosen else {},
            found_by(named, self.environ),
            settings.given_variables,
            self._free_port,
            self._bundle_noted,
        )

    @property
    def commands_of_run(self) -> Commands:
        """The commands that follow from a run, which has put the installation's settings on record."""
        from contextcore_install.ui.hints import GIVEN_AGAIN

        return self.commands.on_record(GIVEN_AGAIN)

    def _provider_left(self) -> str:
        with suppress(OSError):  # that the home cannot be entered is said by whoever needs what is in it
            return left_by(self.layout)
        return ""

    def _bundle_noted(self) -> str:
        """Return the path of the offline bundle that the installation's tools came from; empty if none is known."""
        with suppress(OSError):
            return os.fsdecode(self.layout.offline_bundle.read_bytes())
        return ""

    def _free_port(self, key: str) -> int:
        """Return a free port for a component in place of its own: neither given nor usual for another; else 0."""
        from contextcore_install.stack.catalogue import PORTS
        from contextcore_install.system.ports import free_port

        if key not in PORTS:
            return 0
        usual = {port.host for port in PORTS.values()}
        port = free_port(self.settings.ports.get(key, PORTS[key].host))
        while port in usual or port in self.settings.ports.values():
            port = free_port(port)
        return port


def left_by(layout: ClusterLayout) -> str:
    """Return the provider of which there are files in an installation's folder; empty if there is none."""
    return next((name for name in PROVIDERS if (layout.folder / name).is_dir()), "")
