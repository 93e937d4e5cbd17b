"""What every command is given: the settings, and the world it works in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from contextcore_install.settings import Settings
from contextcore_install.storage.layout import ClusterLayout, Home
from contextcore_install.ui.commands import Commands

if TYPE_CHECKING:  # the ports' many classes cost --status some 10 ms
    from contextcore_install.core.ports import Clock


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

    @property
    def layout(self) -> ClusterLayout:
        """Where the files of this invocation's cluster are."""
        return self.home.cluster(self.settings.cluster)

    @property
    def json(self) -> bool:
        """Whether standard output is for a script."""
        return self.settings.output == "json"

    @property
    def commands(self) -> Commands:
        """The commands that a user of this invocation types."""
        settings = self.settings
        return Commands(settings.program, settings.cluster, settings.default_cluster)
