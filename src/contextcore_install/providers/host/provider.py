"""The host provider: the port's methods, made from the modules beside this one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import (
    ClusterReport,
    ClusterState,
    Collector,
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
from contextcore_install.providers.host import processes
from contextcore_install.providers.host import release as releases
from contextcore_install.providers.host.data import HostData, storage_in
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import StackPrograms
from contextcore_install.providers.host.render import HostRelease
from contextcore_install.providers.host.requirements import HostRequirements
from contextcore_install.stack.catalogue import (
    COMPONENTS,
    LOOPBACK,
    METRICS_STORE,
    Component,
    memory_shares,
    resolve_ports,
)
from contextcore_install.stack.provisioned import dashboard_url
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.files import read_object


class HostProvider:
    """Runs the stack as processes of this user. Nothing is looked up before it is asked for."""

    name = "host"

    def __init__(self, config: ProviderConfig, *, daemons: Daemons | None = None) -> None:
        self._config = config
        self._ports = resolve_ports(config.ports)
        self._layout = Layout(config.cluster, config.folder.absolute() / "host")
        self._daemons = daemons or Daemons(self._layout.run, self._layout.logs)
        self._restarted: set[tuple[str, str]] = set()
        self._emptied: list[str] = []

    @cached_property
    def _programs(self) -> StackPrograms:
        return StackPrograms(self._config, self._layout)

    def _dropped(self) -> list[str]:
        """Return the components that were installed, and are not to run any more: the last to start first."""
        dropped = releases.installed(self._layout) - {item.name for item in self._programs.chosen}
        return [item.name for item in reversed(COMPONENTS) if item.name in dropped]

    def _release(self) -> HostRelease:
        """Return the release; raises InstallError when there is no metrics store."""
        found = self._programs.found()
        if METRICS_STORE not in found:
            raise self._programs.missing_store()
        names = (item.name for item in self._programs.chosen)
        there = {name: found.get(name) or releases.still_run(self._layout, self._daemons, name) for name in names}
        programs = {name: program for name, program in there.items() if program}
        options = self._config.options
        contact_points, memory = str(options.get("grafana_contact_points", "")), memory_shares(options.get("memory"))
        return HostRelease(self._layout, self._ports, programs, self._programs.likely_store(), contact_points, memory)

    def requirements(self) -> Sequence[Requirement]:
        return HostRequirements(self._config, self._layout, self._ports, self._programs, self._daemons).all()

    # The cluster: a folder

    def cluster(self) -> ClusterReport:
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
        """Make the folder whole, and clear the records of an earlier boot."""
        self._refuse_foreign("Move it away, or choose another name with --cluster NAME")
        ctx.activity(f"preparing {self._layout.root}")
        self._layout.make()
        for name in self._daemons.names():
            if self._daemons.look(name).rebooted:
                self._daemons.forget(name)

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        self._refuse_foreign("Look into it, and move it away; then delete again")
        self._stop_all(ctx)
        ctx.activity(f"removing {self._layout.root}" + (", but not its data" if keep_data else ""))
        self._layout.remove(keep_data=keep_data)

    def _refuse_foreign(self, hint: str) -> None:
        if reason := self._layout.foreign_reason():
            message = f"{self._layout.root} is not ours, and is left alone."
            raise InstallError("cluster-foreign", message, evidence=reason, hint=hint)

    def _stop_all(self, ctx: StepContext) -> None:
        # All of them, not only those with a record: one that lost it is found by its mark.
        for component in reversed(COMPONENTS):
            if self._daemons.look(component.name).alive:
                ctx.activity(f"stopping {component.name}")
            self._daemons.stop(component.name, ctx)

    # The release: configurations, and processes that run with them

    def drift(self) -> Sequence[Drift]:
        dropped = [Drift(name, "is not to run any more") for name in self._dropped()]
        return [*dropped, *releases.drift(self._release(), self._daemons)]

    def apply_release(self, ctx: StepContext) -> None:
        self._layout.make()
        release = self._release()
        self._programs.remember(release.store)
        self._layout.note_ports(self._config.ports)
        for name in self._dropped():
            ctx.activity(f"stopping {name}")
            self._daemons.stop(name, ctx)
            releases.remove_configurations(self._layout.config / name)
            ctx.notice(f"{name} does not run any more; what it stored stays in {release.data(name)}")
        ctx.activity("writing configurations")
        releases.write(release)
        self._emptied += releases.run(release, self._daemons, self._config.environ, ctx)
        from contextcore_install.system.packages.placing import prune

        prune(self._config.bin_folder)  # now that nothing runs from what an update replaced

    def remove_release(self, ctx: StepContext) -> None:
        self._stop_all(ctx)
        releases.remove_configurations(self._layout.config)

    def start_workloads(self, ctx: StepContext) -> None:
        """Start what is down, once for each cause of its death."""
        release = self._release()
        watched = [item for item in self._watched() if item.name in release.startable]
        chosen = {
            workload.name: release.programs[workload.name]
            for item, workload in zip(watched, processes.conditions(self._daemons, watched), strict=True)
            if not workload.ready and self._is_to_start(item, workload, ctx)
        }
        self._emptied += releases.run(replace(release, programs=chosen), self._daemons, self._config.environ, ctx)

    def _is_to_start(self, item: processes.Watched, workload: Workload, ctx: StepContext) -> bool:
        """Decide whether a component that is not ready is to be started; stops one that hangs."""
        finding = workload.finding
        code = finding.code if finding else "hung"
        if (item.name, code) in self._restarted or (finding is None and workload.condition != HANGS):
            return False
        if finding is None:
            ctx.notice(f"{item.name} runs and does not answer; it is restarted")
            self._daemons.stop(item.name, ctx)
        else:
            ctx.notice(f"{item.name}: {finding.message}")
            if code == SUSPENDED:
                self._daemons.wake(item.name)
                return False
            if self._config.may_lose_data and finding.remedy and finding.remedy.risk is Risk.LOSES_DATA:
                aside = releases.set_data_aside(Path(item.facts["folder"]))
                ctx.notice(f"{item.name} starts with no data; what it had is in {aside}")
        if code != "not-running":
            self._restarted.add((item.name, code))
        return True

    # What runs

    def workloads(self) -> Sequence[Workload]:
        return processes.conditions(self._daemons, self._watched())

    def watch_workloads(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        yield from processes.changes(self._daemons, self._watched(), ctx)

    def _watched(self) -> list[processes.Watched]:
        """Return what should run: what is installed, and what will be as its program is there."""
        found, installed = self._programs.found(), releases.installed(self._layout)
        expected = installed | set(found) | {METRICS_STORE}
        return [
            self._watch(item, has_program=item.name in found, is_installed=item.name in installed)
            for item in self._programs.chosen
            if item.name in expected
        ]

    def _watch(self, item: Component, *, has_program: bool, is_installed: bool) -> processes.Watched:
        kind = self._programs.likely_store() if item.name == METRICS_STORE else item
        port = self._ports[item.ready_port]
        folder = str(self._layout.data / kind.name)
        facts = {
            "title": item.title,
            "cluster": self._config.cluster,
            "port": str(port),
            "port_key": item.ready_port,
            "folder": folder,
            "quoted": shlex.quote(folder),
            "log": str(self._daemons.log_path(item.name)),
            "path": kind.ready_path,
            "version": item.version,
        }
        endpoint = Endpoint(item.name, f"http://{LOOPBACK}:{port}", kind.ready_path)
        return processes.Watched(item, endpoint, facts, has_program, is_installed)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component that is installed is reached, and where others are in the place of one."""
        store, watched = self._programs.store(), self._watched()
        strangers = [processes.stranger_in_place(item.component, store, self._ports, self._daemons) for item in watched]
        found = zip(watched, strangers, strict=True)
        return [replace(item.endpoint, stranger=stranger) for item, stranger in found if item.is_installed or stranger]

    def cluster_services(self) -> Sequence[Requirement]:
        return ()  # processes of this machine are reached without anything between

    def data(self) -> Data:
        return HostData(self._layout, self._daemons, self._release, self._ports, self._config.environ)

    def storage(self) -> Sequence[Storage]:
        release, installed = self._release(), releases.installed(self._layout)
        return [
            storage_in(name, release.data(name), self._daemons.pid(name))
            for name in release.programs
            if name in installed
        ]

    def listeners(self) -> Sequence[Listener]:
        return processes.listeners(self._daemons)

    # For people

    def by_hand(self, step_id: str) -> Sequence[str]:
        if step_id == "preflight":
            return ["command -v mimir victoria-metrics prometheus", "df -h ~", "free -m"]
        if step_id == "cluster_create":
            return [f"mkdir -p -m 700 {shlex.quote(str(self._layout.root))}"]
        if step_id == "manifests_apply":
            release = self._release()
            return [f"nohup {shlex.join(release.render(name).argv)} &" for name in release.programs]
        if step_id == "pods_ready":
            return [f"tail -f {shlex.quote(str(self._layout.logs / name))}.log" for name in self._release().programs]
        return []

    def log_command(self, component: str) -> str:
        return shlex.join(["tail", "-n", "50", str(self._daemons.log_path(component))])

    def evidence(self) -> Sequence[Collector]:
        return processes.evidence_of(self._layout, self._daemons)

    def overview(self) -> Overview:
        found = self._programs.found()
        loss = f"; what {' and '.join(self._emptied)} had stored before is lost" if self._emptied else ""
        hints = [f"Logs: {self._layout.logs}", f"Data: {self._layout.data}{loss}"]
        endpoints = self.endpoints()
        if dashboard := dashboard_url(endpoints, self._config.cluster):
            shown = shlex.join(["cat", str(self._layout.grafana_password)])
            hints.insert(0, f"Grafana's login: admin, and the password that this shows: {shown}")
        return Overview(
            endpoints=tuple(endpoints),
            programs={name: program.label for name, program in found.items()},
            absent=tuple(self._programs.absent()),
            hints=tuple(hints),
            not_chosen=frozenset(item.name for item in COMPONENTS if item not in self._programs.chosen),
            dashboard=dashboard,
        )


create = HostProvider
held_ports = resolve_ports  # all of them: which programs are there may change


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    """Return the ports that the processes were started with; None if there is no folder of theirs."""
    layout = Layout(config.cluster, config.folder.absolute() / "host")
    if not layout.marker.is_file():
        return None
    return {key: port for key, port in (read_object(layout.chosen_ports) or {}).items() if isinstance(port, int)}
