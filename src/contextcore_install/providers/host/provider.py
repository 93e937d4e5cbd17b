"""The host provider: the port's methods, made from the parts beside this file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import Collector
from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import INSTALL_TOOLS
from contextcore_install.core.ports import Http, StepContext
from contextcore_install.core.provider import (
    Absent,
    ClusterReport,
    ClusterState,
    Data,
    Drift,
    Endpoint,
    Overview,
    ProviderConfig,
    Requirement,
    Workload,
)
from contextcore_install.core.requirements import Listener, Storage
from contextcore_install.diagnosis.reasons import HANGS, SUSPENDED
from contextcore_install.providers.host import release as releases
from contextcore_install.providers.host.by_hand import by_hand
from contextcore_install.providers.host.conditions import ProcessConditions, Watched
from contextcore_install.providers.host.data import HostData
from contextcore_install.providers.host.evidence import evidence_of
from contextcore_install.providers.host.holders import stranger_in_place
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import (
    FAMILIES,
    INSTALLABLE,
    Family,
    InstalledPrograms,
    Program,
    store_gone,
)
from contextcore_install.providers.host.render import HostRelease
from contextcore_install.providers.host.requirements import HostRequirements
from contextcore_install.providers.host.standing import listeners, storage_in
from contextcore_install.stack.catalogue import COMPONENTS, LOOPBACK, METRICS_STORE, Component, resolve_ports
from contextcore_install.stack.catalogue import component as component_of
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.http import LoopbackHttp


class HostProvider:
    """Runs the stack as processes of this user. Nothing is looked up before it is asked for."""

    name = "host"

    def __init__(self, config: ProviderConfig, *, http: Http | None = None, daemons: Daemons | None = None) -> None:
        self._config = config
        self._ports = resolve_ports(config.ports)
        self._layout = Layout(config.cluster, config.folder.absolute() / "host")
        self._daemons = daemons or Daemons(self._layout.run, self._layout.logs)
        self._conditions = ProcessConditions(self._daemons, http or LoopbackHttp())
        self._restarted: set[tuple[str, str]] = set()
        self._emptied: list[str] = []

    @cached_property
    def _programs(self) -> InstalledPrograms:
        return InstalledPrograms(self._layout, self._config.environ, self._config.bin_folder)

    def _found(self) -> dict[str, Program]:
        """Return the programs that are there, by component, in the order in which they start."""
        found = {component.name: self._programs.find(component) for component in COMPONENTS}
        return {name: program for name, program in found.items() if program is not None}

    def _family(self) -> Family:
        return self._programs.family() or FAMILIES[0]

    def _release(self) -> HostRelease:
        """Return the release; raises InstallError when there is no metrics store."""
        found = self._found()
        if METRICS_STORE not in found:
            remembered = self._programs.remembered()
            if remembered is not None:
                raise store_gone(remembered, can_install=remembered.name in INSTALLABLE)
            raise InstallError(
                "metrics-store-missing",
                "There is no metrics store on this machine.",
                evidence=f"Looked for {', '.join(name for family in FAMILIES for name in family.programs)}",
                hint=INSTALL_TOOLS,
            )
        contact_points = str(self._config.options.get("grafana_contact_points", ""))
        return HostRelease(self._layout, self._ports, found, self._family(), contact_points)

    def requirements(self) -> Sequence[Requirement]:
        """Return what the machine must have."""
        return HostRequirements(self._config, self._layout, self._ports, self._programs, self._daemons).all()

    def cluster(self) -> ClusterReport:
        """Return what the cluster's folder says."""
        root = self._layout.root
        if reason := self._layout.foreign_reason():
            return ClusterReport(ClusterState.FOREIGN, reason)
        if not self._layout.marker.exists():
            return ClusterReport(ClusterState.ABSENT, f"{root} is not there.")
        if missing := self._layout.missing():
            loss = "; what was stored there is lost" if self._layout.data.name in missing else ""
            return ClusterReport(ClusterState.PARTIAL, f"{root} lacks {', '.join(missing)}{loss}.")
        sightings = [self._daemons.look(name) for name in self._daemons.names()]
        if sightings and all(sighting.rebooted for sighting in sightings):
            return ClusterReport(ClusterState.STOPPED, "The machine was restarted since the stack ran.")
        return ClusterReport(ClusterState.HEALTHY, f"{root} is there, with all its folders")

    def create_cluster(self, ctx: StepContext) -> None:
        """Make the folder whole, and clear the records of an earlier boot. Raises InstallError."""
        if reason := self._layout.foreign_reason():
            raise InstallError(
                "cluster-foreign",
                f"{self._layout.root} is not ours, and is left alone.",
                evidence=reason,
                hint="Move it away, or choose another name with --cluster NAME",
            )
        ctx.activity(f"preparing {self._layout.root}")
        self._layout.make()
        for name in self._daemons.names():
            if self._daemons.look(name).rebooted:
                self._daemons.forget(name)

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """End every process and remove what is ours, data included unless it is to be kept. Raises InstallError."""
        if reason := self._layout.foreign_reason():
            raise InstallError(
                "cluster-foreign",
                f"{self._layout.root} is not ours, and is left alone.",
                evidence=reason,
                hint="Look into it, and move it away; then delete again",
            )
        self._stop_all(ctx)
        ctx.activity(f"removing {self._layout.root}" + (", but not its data" if keep_data else ""))
        self._layout.remove(keep_data=keep_data)

    def data(self) -> Data:
        """Return the way to what the components keep."""
        return HostData(self._layout, self._daemons, self._release, self._ports, self._config.environ)

    def _stop_all(self, ctx: StepContext) -> None:
        # All of them, not only those with a record: one that lost it is found by its mark.
        for component in reversed(COMPONENTS):
            if self._daemons.look(component.name).alive:
                ctx.activity(f"stopping {component.name}")
            self._daemons.stop(component.name, ctx)

    def drift(self) -> Sequence[Drift]:
        """Return how files and processes differ from what should be. Raises InstallError without a metrics store."""
        return list(releases.drift(self._release(), self._daemons))

    def apply_release(self, ctx: StepContext) -> None:
        """Write the configurations and run the processes with them. Raises InstallError."""
        self._layout.make()
        release = self._release()
        self._programs.remember(release.family)
        self._layout.note_ports(self._config.ports)
        ctx.activity("writing configurations")
        releases.write(release)
        self._run(release, ctx)

    def _run(self, release: HostRelease, ctx: StepContext) -> None:
        self._emptied += releases.run(release, self._daemons, self._config.environ, ctx)

    def remove_release(self, ctx: StepContext) -> None:
        """End the processes and take the configurations away; data and logs stay. Raises InstallError."""
        self._stop_all(ctx)
        releases.remove_configurations(self._layout)

    def start_workloads(self, ctx: StepContext) -> None:
        """Start what is down, once for each cause of its death. Raises InstallError."""
        release = self._release()
        watched = [item for item in self._watched() if item.name in release.programs]
        chosen = {
            workload.name: release.programs[workload.name]
            for item, workload in zip(watched, self._conditions.now(watched), strict=True)
            if not workload.ready and self._to_start(item, workload, ctx)
        }
        self._run(replace(release, programs=chosen), ctx)

    def _to_start(self, item: Watched, workload: Workload, ctx: StepContext) -> bool:
        """Decide whether a component that is not ready is to be started; ends one that hangs."""
        if workload.finding is None:
            code = "hung"
            if workload.condition != HANGS or (item.name, code) in self._restarted:
                return False
            ctx.notice(f"{item.name} runs and does not answer; it is started anew")
            self._daemons.stop(item.name, ctx)
        else:
            code = workload.finding.code
            if (item.name, code) in self._restarted:
                return False
            ctx.notice(f"{item.name}: {workload.finding.message}")
            if code == SUSPENDED:
                self._daemons.wake(item.name)
                return False
            remedy = workload.finding.remedy
            if self._config.may_lose_data and remedy is not None and remedy.risk is Risk.LOSES_DATA:
                self._put_data_aside(item, ctx)
        if code != "not-running":
            self._restarted.add((item.name, code))
        return True

    def _put_data_aside(self, item: Watched, ctx: StepContext) -> None:
        """Have a component start with no data; what it had stays beside it."""
        aside = releases.put_aside(Path(item.facts["folder"]))
        ctx.notice(f"{item.name} starts with no data; what it had is in {aside}")

    def workloads(self) -> Sequence[Workload]:
        """Return each component's condition now."""
        return self._conditions.now(self._watched())

    def watch_workloads(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        """Yield the conditions now and at every change."""
        yield from self._conditions.changes(self._watched(), ctx)

    def _watched(self) -> list[Watched]:
        """Return what should run: what is installed, and what will be as its program is there."""
        found, installed = self._found(), releases.installed(self._layout)
        return [
            Watched(
                component.name,
                self._endpoint(component),
                self._facts(component),
                component.name in found,
                component.name in installed,
            )
            for component in COMPONENTS
            if component.name in installed | set(found) | {METRICS_STORE}
        ]

    def _facts(self, component: Component) -> Mapping[str, str]:
        family = self._family().name if component.name == METRICS_STORE else component.name
        return {
            "title": component.title,
            "cluster": self._config.cluster,
            "port": str(self._ports[component.ready_port]),
            "port_key": component.ready_port,
            "folder": str(self._layout.data / family),
            "log": str(self._daemons.log_path(component.name)),
            "path": self._endpoint(component).ready_path,
            "version": component.version,
        }

    def _endpoint(self, component: Component) -> Endpoint:
        path = self._family().ready_path if component.name == METRICS_STORE else component.ready_path
        return Endpoint(component.name, f"http://{LOOPBACK}:{self._ports[component.ready_port]}", path)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component that is installed is reached, and where others are in the place of one."""
        found = [(item, self._stranger(item.name)) for item in self._watched()]
        return [replace(item.endpoint, stranger=stranger) for item, stranger in found if item.is_installed or stranger]

    def _stranger(self, name: str) -> str:
        family = self._programs.family()
        return stranger_in_place(component_of(name), family, self._ports, self._daemons)

    def cluster_services(self) -> Sequence[Requirement]:
        """Return nothing: processes of this machine are reached without anything between."""
        return ()

    def storage(self) -> Sequence[Storage]:
        """Return where each component that is installed keeps its data."""
        release = self._release()
        return [
            storage_in(name, release.data(name), self._daemons.pid(name))
            for name in release.programs
            if name in releases.installed(self._layout)
        ]

    def listeners(self) -> Sequence[Listener]:
        """Return where the processes listen."""
        return list(listeners(self._daemons))

    def by_hand(self, step_id: str) -> Sequence[str]:
        """Return the commands that do by hand what a step asks this provider for."""
        return by_hand(step_id, self._layout, self._release)

    def log_command(self, component: str) -> str:
        """Return the command that shows the end of a component's log."""
        return shlex.join(["tail", "-n", "50", str(self._daemons.log_path(component))])

    def evidence(self) -> Sequence[Collector]:
        """Return what can be collected: records and logs of processes, and their configurations."""
        return evidence_of(self._layout, self._daemons)

    def overview(self) -> Overview:
        """Return what runs where, what is missing, and how to look at it."""
        found = self._found()
        absent = [self._absent(component) for component in COMPONENTS if component.name not in found]
        loss = f"; what {' and '.join(self._emptied)} had stored before is lost" if self._emptied else ""
        hints = [f"Logs: {self._layout.logs}", f"Data: {self._layout.data}{loss}"]
        if "grafana" in found:
            hints.append(f"Grafana's login: admin, and the password in {self._layout.secrets / 'grafana-admin'}")
        return Overview(
            endpoints=tuple(self.endpoints()),
            programs={name: program.label for name, program in found.items()},
            absent=tuple(absent),
            hints=tuple(hints),
        )

    def _absent(self, component: Component) -> Absent:
        if component.name == METRICS_STORE:
            return Absent(component.name, "no metrics store on this machine", INSTALL_TOOLS)
        other = self._programs.mistaken(component)
        reason = f"{other} is another program" if other else f"no `{component.programs[0]}` on PATH"
        return Absent(component.name, reason, component.hint)
