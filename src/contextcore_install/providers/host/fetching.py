"""Gets the programs that the chosen components lack, all at the same time; what cannot be had is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import INSTALL_TOOLS, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Absent, ProviderConfig
from contextcore_install.providers.host.layout import Layout, read_json, write_json
from contextcore_install.providers.host.programs import InstalledPrograms
from contextcore_install.stack.catalogue import METRICS_STORE, METRICS_STORES, Component, component

_ASKS_AGAIN = frozenset({"install_tools", "components"})
"""The options that, given to a run, have it try again what an earlier one could not get."""


@dataclass(slots=True)
class MissingPrograms:
    """What is to be fetched. `left_out` says, by component, why it was not to be had: no later run tries by itself."""

    config: ProviderConfig
    layout: Layout
    programs: InstalledPrograms
    left_out: dict[str, str] = field(init=False)
    fetched: set[str] = field(init=False)  # in this run: what they then say of their version is not judged

    def __post_init__(self) -> None:
        self.fetched = set()
        kept = {} if self.config.given_now & _ASKS_AGAIN else read_json(self.layout.left_out) or {}
        self.left_out = {name: str(reason) for name, reason in kept.items()}

    def wanted(self) -> Sequence[Component]:
        """Return the components whose programs are to be fetched; without a choice, that is the metrics store alone."""
        if not self.config.install_tools:
            return []
        chosen = [item for item in self.programs.chosen if self.config.components or item.name == METRICS_STORE]
        return [item for item in chosen if item.name not in self.left_out and self._is_wanted(item)]

    def _is_wanted(self, item: Component) -> bool:
        """Whether a program is missing or, when tools are asked for now, is one of ours and of another version."""
        program = self.programs.find(item)
        if program is None:
            return True
        ours = program.path.parent == self.config.bin_folder and item.name not in self.fetched
        if not ours or "install_tools" not in self.config.given_now:
            return False
        from contextcore_install.system.packages.releases import releases

        release = releases().get(program.path.name)
        return release is not None and program.version not in {"", release.version}

    def fetch(self, ctx: StepContext) -> None:
        """Fetch them; raises InstallError if there is no metrics store then, and CancelledError."""
        from contextcore_install.system.packages.bundle_source import source_of
        from contextcore_install.system.packages.install import STORE, install_programs

        components = {STORE if item.name == METRICS_STORE else item.name: item for item in self.wanted()}
        config, known = self.config, self.programs.store()
        stores = {kind.name for kind in ((known,) if known else METRICS_STORES)}
        if config.bundle:
            stores &= {METRICS_STORE}  # the others come as packages, from a network
        only, source = stores | set(components), source_of(config)
        found = install_programs(list(components), ctx, config.bin_folder, config.environ, only=only, source=source)
        self.fetched |= {item.name for item in components.values()}
        failed = {name: error for name, error in found.items() if isinstance(error, InstallError)}
        if STORE in failed and not self.programs.find(component(METRICS_STORE)):
            raise failed[STORE]
        if failed and config.bundle:  # it is to have all of them, and one that was tampered with is not to be used
            raise next(iter(failed.values()))
        store = found.get(STORE)
        if isinstance(store, Path) and store.name != METRICS_STORE and not known:
            ctx.notice(f"the metrics store is {store.name}, as {METRICS_STORE} could not be had")
        if failed:
            reasons = {components[name].name: _reason(error) for name, error in failed.items()}
            self.left_out |= reasons
            more = f", and {len(reasons) - 1} more in its log" if len(reasons) > 1 else ""
            what = "not updated" if reasons.keys() <= self.programs.found().keys() else "left out"
            why = f"{next(iter(reasons.values()))}{more}"
            # The reason comes last, as consoles cut long ones short.
            ctx.notice(f"{what}: {', '.join(reasons)}; to have them later: {INSTALL_TOOLS} ({why})")

    def absent(self) -> Iterator[Absent]:
        """Yield what is chosen and has no program, with the way to it."""
        found = self.programs.found()
        for item in self.programs.chosen:
            if item.name not in found:
                reason = "no metrics store on this machine" if item.name == METRICS_STORE else self.why_absent(item)
                yield Absent(item.name, reason, INSTALL_TOOLS)

    def why_absent(self, item: Component) -> str:
        if reason := self.left_out.get(item.name):
            return f"left out: {reason}"
        return self.programs.why_absent(item)

    def prune(self) -> None:
        """Remove what is left of programs that newer ones replaced."""
        from contextcore_install.system.packages.placing import prune

        prune(self.config.bin_folder)

    def keep(self) -> None:
        """Keep what is left out for later runs. Raises OSError."""
        there = {name: why for name, why in self.left_out.items() if name not in self.programs.found()}
        if there:
            write_json(self.layout.left_out, there)
        else:
            self.layout.left_out.unlink(missing_ok=True)


def _reason(error: InstallError) -> str:
    return (error.evidence.splitlines() or [error.message])[0]
