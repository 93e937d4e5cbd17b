"""The pinned releases: what upstream publishes for each platform, where, and with which digests."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.tables import read_table

RELEASES_FILE = Path(__file__).with_name("releases.toml")
DIGESTS_FILE = Path(__file__).with_name("digests.toml")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Releases' names of what Linux calls its machines; macOS and all others have one name."""
NOT_PUBLISHED = "not published"
"""In the place of a digest: upstream has no such file for that platform."""


@dataclass(frozen=True, slots=True)
class Platform:
    """`system` is linux or darwin, `machine` amd64 or arm64."""

    system: str
    machine: str

    @classmethod
    def here(cls) -> Platform:
        """Return this machine's; raises InstallError `no-release` if nothing is released for it."""
        machine = MACHINES.get(platform.machine(), platform.machine())
        found = cls(sys.platform, machine)
        if found not in PLATFORMS:
            raise InstallError("no-release", f"There are no releases for {sys.platform} on {machine}.")
        return found

    def __str__(self) -> str:
        return f"{self.system}-{self.machine}"


PLATFORMS = tuple(Platform(system, machine) for system in ("linux", "darwin") for machine in ("amd64", "arm64"))


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as releases.toml has it. `digests` are the committed sha256 of its files, by platform."""

    name: str
    version: str
    base_url: str
    file: str
    sums: str
    program: str = ""
    trial: Sequence[str] = ("-version",)
    digests: Mapping[str, str] = field(default_factory=dict)

    def url(self, platform: Platform) -> str:
        return f"{self.base_url}/{self._filled(self.file, platform)}"

    def file_name(self, platform: Platform) -> str:
        """Return upstream's name of the file."""
        return self.url(platform).rpartition("/")[2]

    def sums_url(self, platform: Platform) -> str:
        return f"{self.base_url}/{self._filled(self.sums.replace('{file}', self.file), platform)}"

    @property
    def sums_name_files(self) -> bool:
        """Whether the sums are a list in which the file's own is found by its name."""
        return "{file}" not in self.sums

    def digest(self, platform: Platform) -> str:
        """Return the committed sha256; empty if there is none."""
        return self.digests.get(str(platform), "")

    def program_in_archive(self, platform: Platform) -> str:
        """Return the one member of the archive that is taken; empty for the whole tree."""
        return self._filled(self.program, platform)

    @property
    def is_archive(self) -> bool:
        return self.file.endswith((".zip", ".tar.gz"))

    @property
    def is_tree(self) -> bool:
        return self.is_archive and not self.program

    def stored_name(self, platform: Platform) -> str:
        """Return a name under which the file can lie beside those of all other releases, versions and platforms."""
        suffix = next((suffix for suffix in (".zip", ".tar.gz") if self.file.endswith(suffix)), "")
        return f"{self.name}-{self.version}-{platform}{suffix}"

    def _filled(self, template: str, platform: Platform) -> str:
        return template.format(version=self.version, system=platform.system, machine=platform.machine)


class Source(Protocol):
    """Where releases come from."""

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        """Write upstream's file of a release to `target`, checked; raises InstallError."""


@cache
def releases() -> Mapping[str, Release]:
    """Return the pinned releases by name, with the committed digests of their versions."""
    digests = read_table(DIGESTS_FILE)
    rows = read_table(RELEASES_FILE)
    return {
        name: Release(name, **row, digests=digests.get(name, {}).get(row["version"], {})) for name, row in rows.items()
    }
