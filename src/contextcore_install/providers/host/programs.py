"""The stack's programs on this machine: which are there, which is the metrics store, and fetching what is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import INSTALL_TOOLS, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Absent, ProviderConfig
from contextcore_install.providers.host.layout import Layout, keep
from contextcore_install.stack.catalogue import (
    COMPONENTS,
    METRICS_STORE,
    METRICS_STORES,
    Component,
    MetricsStore,
    ProgramSpec,
)
from contextcore_install.system.files import read_object
from contextcore_install.system.programs import Versions

_ASKS_AGAIN = frozenset({"install_tools", "components"})  # given to a run, they try again what was not to be had
STORE_PROGRAMS = ", ".join(name for store in METRICS_STORES for name in store.program.names)

# Where programs print their own version, and nothing else: `loki, version 3.7.6 (…`, `grafana version 13.2.3`,
# `victoria-metrics-…-tags-v1.112.0-…`. A build without one still prints that of Go, some lines below.
_VERSION = re.compile(
    r"^(?:\S+, |grafana )?version v?(\d+\.\d+(?:\.\d+)?)|^victoria-metrics-(?:\S*-)?v?(\d+\.\d+\.\d+)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is what its name promises; `version` is empty if unknown. One that `is_gone` still runs on."""

    component: str
    path: Path
    version: str
    is_gone: bool = False

    @property
    def label(self) -> str:
        """Name, version and place, for people."""
        return " ".join(filter(None, (self.path.name, self.version, f"({self.path})")))


class StackPrograms:
    """Finds programs, on PATH first, then where we install tools ourselves; and fetches those that are missing."""

    def __init__(self, config: ProviderConfig, layout: Layout) -> None:
        # What is to run as far as there is a program, in the order in which it starts
        self.chosen = [item for item in COMPONENTS if config.components is None or item.name in config.components]
        self._config, self._layout = config, layout
        self._places = (config.environ.get("PATH", ""), str(config.bin_folder))
        self._versions = Versions(config.environ, layout.programs)
        self._fetched: set[str] = set()  # in this run: what they then say of their version is not judged
        kept = {} if config.given_now & _ASKS_AGAIN else read_object(layout.left_out) or {}
        # Why a component's program was not to be had: no later run tries by itself
        self.left_out = {name: str(reason) for name, reason in kept.items()}

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

    def likely_store(self) -> MetricsStore:
        return self.store() or METRICS_STORES[0]

    def remembered(self) -> MetricsStore | None:
        """Return the kind of metrics store that this cluster's data is in."""
        name = (read_object(self._layout.store_choice) or {}).get("family")
        return next((store for store in METRICS_STORES if store.name == name), None)

    def remember(self, store: MetricsStore) -> None:
        """Keep for later runs which store it is, what the programs said, and what is left out. Raises OSError."""
        program, found = self._find_store(store), self.found()
        keep(self._layout.store_choice, {"family": store.name, "path": str(program.path) if program else ""})
        self._versions.save()
        if left_out := {name: why for name, why in self.left_out.items() if name not in found}:
            keep(self._layout.left_out, left_out)
        else:
            self._layout.left_out.unlink(missing_ok=True)

    def why_absent(self, component: Component) -> str:
        """Return why a component that was not found is not there: another program may have its name."""
        if reason := self.left_out.get(component.name):
            return f"left out: {reason}"
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

    def wanted(self) -> Sequence[Component]:
        """Return the components whose programs are to be fetched; without a choice, that is the metrics store alone."""
        if not self._config.install_tools:
            return []
        chosen = [item for item in self.chosen if self._config.components or item.name == METRICS_STORE]
        return [item for item in chosen if item.name not in self.left_out and self._is_wanted(item)]

    def _is_wanted(self, item: Component) -> bool:
        """Whether a program is missing or, when tools are asked for now, is one of ours and of another version."""
        program = self.find(item)
        if program is None:
            return True
        ours = program.path.parent == self._config.bin_folder and item.name not in self._fetched
        if not ours or "install_tools" not in self._config.given_now:
            return False
        from contextcore_install.system.packages.releases import releases

        release = releases().get(program.path.name)
        return release is not None and program.version not in {"", release.version}

    def fetch(self, ctx: StepContext) -> None:
        """Fetch them; raises InstallError if there is no metrics store then, and CancelledError."""
        from contextcore_install.system.packages.bundle_file import source_of
        from contextcore_install.system.packages.install import STORE, install_programs

        components = {STORE if item.name == METRICS_STORE else item.name: item for item in self.wanted()}
        config, known = self._config, self.store()
        stores = {kind.name for kind in ((known,) if known else METRICS_STORES)}
        if config.bundle:
            stores &= {METRICS_STORE}  # the others come as packages, from a network
        only, source = stores | set(components), source_of(config)
        found = install_programs(list(components), ctx, config.bin_folder, config.environ, only=only, source=source)
        self._fetched |= {item.name for item in components.values()}
        failed = {name: error for name, error in found.items() if isinstance(error, InstallError)}
        if STORE in failed and METRICS_STORE not in self.found():
            raise failed[STORE]
        if failed and config.bundle:  # it is to have all of them, and one that was tampered with is not to be used
            raise next(iter(failed.values()))
        if failed:
            reasons = {
                components[name].name: (error.evidence.splitlines() or [error.message])[0]
                for name, error in failed.items()
            }
            self.left_out |= reasons
            more, them = (f"; {len(reasons) - 1} more in its log", "them") if len(reasons) > 1 else ("", "it")
            what = "not updated" if reasons.keys() <= self.found().keys() else "left out"
            first = next(iter(reasons.values())).rstrip(".")  # which comes last, as consoles cut long ones short
            ctx.notice(f"{what}: {', '.join(reasons)}; to have {them} later: {INSTALL_TOOLS} ({first}{more})")

    def absent(self) -> Iterator[Absent]:
        """Yield what is chosen and has no program, with the way to it."""
        found = self.found()
        for item in self.chosen:
            if item.name not in found:
                reason = "no metrics store on this machine" if item.name == METRICS_STORE else self.why_absent(item)
                yield Absent(item.name, reason, INSTALL_TOOLS)

    def _find_store(self, store: MetricsStore) -> Program | None:
        """Return the program that wrote the data as long as it is there: another build may not read it."""
        choice = read_object(self._layout.store_choice) or {}
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
