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
from contextcore_install.stack.catalogue import METRICS_STORE, METRICS_STORES, Component

_ASKS_AGAIN = frozenset({"install_tools", "components"})
"""The options that, given to a run, have it try again what an earlier one could not get."""


@dataclass(slots=True)
class MissingPrograms:
    """What is to be fetched. `left_out` says, by component, why it was not to be had: no later run tries by itself."""

    config: ProviderConfig
    layout: Layout
    programs: InstalledPrograms
    left_out: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        kept = {} if self.config.given_now & _ASKS_AGAIN else read_json(self.layout.left_out) or {}
        self.left_out = {name: str(reason) for name, reason in kept.items()}

    def wanted(self) -> Sequence[Component]:
        """Return the components whose programs are to be fetched; without a choice, that is the metrics store alone."""
        if not self.config.install_tools:
            return []
        chosen = [item for item in self.programs.chosen if self.config.components or item.name == METRICS_STORE]
        return [item for item in chosen if item.name not in self.left_out and not self.programs.find(item)]

    def fetch(self, ctx: StepContext) -> None:
        """Fetch them; raises InstallError if there is no metrics store then, and CancelledError."""
        from contextcore_install.system.packages.bundle_source import source_of
        from contextcore_install.system.packages.install import STORE, install_programs

        components = {STORE if item.name == METRICS_STORE else item.name: item for item in self.wanted()}
        config, remembered = self.config, self.programs.remembered()
        stores = {store.name for store in ((remembered,) if remembered else METRICS_STORES)}
        if config.bundle:
            stores &= {METRICS_STORE}  # the others come as packages, from a network
        only, source = stores | set(components), source_of(config)
        found = install_programs(list(components), ctx, config.bin_folder, config.environ, only=only, source=source)
        failed = {name: error for name, error in found.items() if isinstance(error, InstallError)}
        if STORE in failed:
            raise failed[STORE]
        if failed and config.bundle:  # it is to have all of them, and one that was tampered with is not to be used
            raise next(iter(failed.values()))
        store = found.get(STORE)
        if isinstance(store, Path) and store.name != METRICS_STORE and not remembered:
            ctx.notice(f"the metrics store is {store.name}, as {METRICS_STORE} could not be had")
        if failed:
            self.left_out |= {name: _reason(error) for name, error in failed.items()}
            names, reasons = ", ".join(failed), [self.left_out[name] for name in failed]
            more = f", and {len(reasons) - 1} more in its log" if len(reasons) > 1 else ""
            ctx.notice(f"left out: {names} ({reasons[0]}{more}); to have them later: {INSTALL_TOOLS}")

    def absent(self) -> Iterator[Absent]:
        """Yield what is chosen and has no program, with the way to it."""
        found = self.programs.found()
        for item in self.programs.chosen:
            if item.name not in found:
                reason = "no metrics store on this machine" if item.name == METRICS_STORE else self.why_absent(item)
                yield Absent(item.name, reason, INSTALL_TOOLS)

    def why_absent(self, component: Component) -> str:
        if reason := self.left_out.get(component.name):
            return f"left out: {reason}"
        return self.programs.why_absent(component)

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
