"""Which programs of the stack this machine has, and which of them is the metrics store."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import INSTALL_TOOLS, InstallError
from contextcore_install.providers.host.layout import Layout, read_json, write_json
from contextcore_install.stack.catalogue import METRICS_STORE, METRICS_STORES, Component, MetricsStore, ProgramSpec
from contextcore_install.system.programs import Versions

STORE_PROGRAMS = ", ".join(name for store in METRICS_STORES for name in store.program.names)

# Where programs print their own version, and nothing else: `loki, version 3.7.6 (…`, `grafana version 13.2.3`,
# `victoria-metrics-…-tags-v1.112.0-…`. A build without one still prints that of Go, some lines below.
_VERSION = re.compile(
    r"^(?:\S+, |grafana )?version v?(\d+\.\d+(?:\.\d+)?)|^victoria-metrics-(?:\S*-)?v?(\d+\.\d+\.\d+)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was found and is what its name promises. `version` is empty if it does not tell.

    One that `is_gone` runs on, and cannot be started again.
    """

    component: str
    path: Path
    version: str
    is_gone: bool = False

    @property
    def label(self) -> str:
        """Name, version and place, for people."""
        return " ".join(filter(None, (self.path.name, self.version, f"({self.path})")))


class InstalledPrograms:
    """Finds programs: on PATH first, then where we install tools ourselves."""

    def __init__(
        self, layout: Layout, environ: Mapping[str, str], bin_folder: Path, chosen: Sequence[Component]
    ) -> None:
        self.chosen = chosen  # what is to run as far as there is a program, in the order in which it starts
        self._layout = layout
        self._places = (environ.get("PATH", ""), str(bin_folder))
        self._versions = Versions(environ, layout.programs)

    def found(self) -> dict[str, Program]:
        """Return the programs that are there, by component, in the order in which they start."""
        found = {component.name: self.find(component) for component in self.chosen}
        return {name: program for name, program in found.items() if program is not None}

    def find(self, component: Component) -> Program | None:
        if component.name != METRICS_STORE:
            return self._search(component.name, component.program)
        store = self.store()
        return self._find_store(store) if store else None

    def store(self) -> MetricsStore | None:
        """Return the kind of metrics store that this cluster has, or else would get; None if there is none."""
        return self.remembered() or next((store for store in METRICS_STORES if self._find_store(store)), None)

    def remembered(self) -> MetricsStore | None:
        """Return the kind of metrics store that this cluster's data is in."""
        name = (read_json(self._layout.store_choice) or {}).get("family")
        return next((store for store in METRICS_STORES if store.name == name), None)

    def remember(self, store: MetricsStore) -> None:
        """Keep the choice with the data, and what the programs said beside it. Raises OSError."""
        program = self._find_store(store)
        choice = {"family": store.name, "path": str(program.path) if program else ""}
        if read_json(self._layout.store_choice) != choice:
            write_json(self._layout.store_choice, choice)
        self._versions.save()

    def why_absent(self, component: Component) -> str:
        """Return why a component that was not found is not there: another program may have its name."""
        names = component.program.names
        other = next(filter(None, (shutil.which(name, path=self._places[0]) for name in names)), "")
        return f"{other} is another program" if other else f"no `{names[0]}` on PATH"

    def missing_store(self) -> InstallError:
        """Return the error for a metrics store that was not found."""
        if store := self.remembered():
            names = " or ".join(store.program.names)
            message = f"This cluster's metrics are in a {store.name} store, and its program is gone."
            evidence = f"Neither on PATH nor among the installed tools: {names}"
            return InstallError("metrics-store-gone", message, evidence, INSTALL_TOOLS)
        message = "There is no metrics store on this machine."
        return InstallError("metrics-store-missing", message, f"Looked for {STORE_PROGRAMS}", INSTALL_TOOLS)

    def _find_store(self, store: MetricsStore) -> Program | None:
        """Return the program that wrote the data as long as it is there: another build may not read it."""
        choice = read_json(self._layout.store_choice) or {}
        used = str(choice.get("path", "")) if choice.get("family") == store.name else ""
        names = (used, *store.program.names) if used else store.program.names
        return self._search(METRICS_STORE, replace(store.program, names=names))

    def _search(self, component: str, spec: ProgramSpec) -> Program | None:
        """Return the first that is there and is what it should be; a name with a slash is a path."""
        for place, name in product(self._places, spec.names):
            found = shutil.which(name, path=place)
            said = self._versions.said(found, spec.version_flag) if found else None
            if found and said is not None and re.search(spec.identity, said, re.MULTILINE):
                version = _VERSION.search(said)
                return Program(component, Path(found).absolute(), version[version.lastindex or 0] if version else "")
        return None
