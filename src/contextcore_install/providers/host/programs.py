"""Which programs of the stack this machine has, and which of them is the metrics store."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import INSTALL_TOOLS
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.providers.host.layout import Layout, read_json
from contextcore_install.stack.catalogue import METRICS_STORE, Component
from contextcore_install.system.files import write_atomically

#: Seconds that a program gets to say its version.
VERSION_WITHIN_S = 10.0
#: Where programs print their own version, and nothing else: `loki, version 3.7.6 (…`, `grafana version 13.2.3`,
#: `victoria-metrics-…-tags-v1.112.0-…`. A build without one still prints that of Go, some lines below.
_VERSION = re.compile(
    r"^(?:\S+, |grafana )?version v?(\d+\.\d+(?:\.\d+)?)|^victoria-metrics-(?:\S*-)?v?(\d+\.\d+\.\d+)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of metrics store: its data can be read by its own programs only."""

    name: str
    programs: tuple[str, ...]
    identity: str
    version_flag: str
    ready_path: str
    write_path: str
    query_prefix: str


FAMILIES: tuple[Family, ...] = (
    Family("mimir", ("mimir",), r"(?i)mimir, version", "-version", "/ready", "/api/v1/push", "/prometheus"),
    # Debian's build prints an empty line as its version, so any answer will do.
    Family(
        "victoria-metrics",
        ("victoria-metrics", "victoria-metrics-prod"),
        "",
        "-version",
        "/ready",
        "/api/v1/write",
        "/prometheus",
    ),
    Family("prometheus", ("prometheus",), r"(?i)prometheus, version", "--version", "/-/ready", "/api/v1/write", ""),
)
"""In the order in which they are chosen."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was found and is what its name promises. `version` is empty where it does not tell."""

    component: str
    path: Path
    version: str

    @property
    def label(self) -> str:
        """Name, version and place, for people."""
        return " ".join(filter(None, (self.path.name, self.version, f"({self.path})")))


class InstalledPrograms:
    """Finds programs: on PATH first, then where we install tools ourselves."""

    def __init__(self, layout: Layout, environ: Mapping[str, str], bin_folder: Path) -> None:
        self._layout = layout
        self._environ = environ
        self._path = f"{environ.get('PATH', '')}:{bin_folder}"
        self._asked: dict[str, str | None] = {}
        self._known: Mapping[str, object] = read_json(layout.programs) or {}

    def find(self, component: Component) -> Program | None:
        """Return a component's program; None where there is none."""
        if component.name == METRICS_STORE:
            family = self.family()
            return self._find_family(family) if family else None
        return self._search(component.name, component.programs, component.identity, component.version_flag)

    def family(self) -> Family | None:
        """Return the kind of metrics store that this cluster has, or else would get; None where there is none."""
        remembered = self.remembered()
        return remembered or next((family for family in FAMILIES if self._find_family(family)), None)

    def remembered(self) -> Family | None:
        """Return the kind of metrics store that this cluster's data is in."""
        name = (read_json(self._layout.store_choice) or {}).get("family")
        return next((family for family in FAMILIES if family.name == name), None)

    def remember(self, family: Family) -> None:
        """Keep the choice with the data, and what the programs said beside it. Raises OSError."""
        program = self._find_family(family)
        choice = {"family": family.name, "path": str(program.path) if program else ""}
        if read_json(self._layout.store_choice) != choice:
            write_atomically(self._layout.store_choice, json.dumps(choice) + "\n")
        if self._asked and dict(self._known) != {**self._known, **self._asked}:
            self._known = {**self._known, **self._asked}
            write_atomically(self._layout.programs, json.dumps(self._known, indent=1) + "\n")

    def mistaken(self, component: Component) -> str:
        """Return the path of a program that has the component's name and is another one; empty where there is none."""
        paths = (shutil.which(name, path=self._path) for name in component.programs)
        return next((path for path in paths if path), "")

    def _find_family(self, family: Family) -> Program | None:
        """Return the program that wrote the data as long as it is there: another build may not read it."""
        choice = read_json(self._layout.store_choice) or {}
        used = str(choice.get("path", "")) if choice.get("family") == family.name else ""
        names = (used, *family.programs) if used else family.programs
        return self._search(METRICS_STORE, names, family.identity, family.version_flag)

    def _search(self, component: str, names: tuple[str, ...], identity: str, flag: str) -> Program | None:
        """Return the first that is there and is what it should be; a name with a slash is a path."""
        for name in names:
            found = shutil.which(name, path=self._path)
            said = self._said(Path(found), flag) if found else None
            if found and said is not None and re.search(identity, said, re.MULTILINE):
                return Program(component, Path(found).absolute(), _version_in(said))
        return None

    def _said(self, path: Path, flag: str) -> str | None:
        """Return what a program prints as its version; None when it fails. Asked once per build of it."""
        try:
            status = path.stat()
        except OSError:
            return None
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        if isinstance(known := self._known.get(key), str):
            return known
        if key not in self._asked:
            self._asked[key] = self._ask(path, flag)
        return self._asked[key]

    def _ask(self, path: Path, flag: str) -> str | None:
        try:
            done = subprocess.run(
                [path, flag],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=VERSION_WITHIN_S,
                env=dict(self._environ),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return hide_secrets(done.stdout.decode("utf-8", errors="replace")[:500]) if done.returncode == 0 else None


def _version_in(said: str) -> str:
    version = _VERSION.search(said)
    return version.group(version.lastindex or 0) if version else ""


INSTALLABLE = frozenset({"mimir", "victoria-metrics", "prometheus"})
"""The kinds that `tools.install` can get."""


def store_gone(family: Family, *, can_install: bool) -> InstallError:
    """Return the error for a metrics store whose data is here and whose program is not."""
    names = " or ".join(family.programs)
    command = INSTALL_TOOLS if can_install else f"put `{family.programs[0]}` back on PATH"
    return InstallError(
        "metrics-store-gone",
        f"This cluster's metrics are in a {family.name} store, and its program is gone.",
        evidence=f"Neither on PATH nor among the installed tools: {names}",
        hint=command,
    )
