"""What this machine must have, looked at without changing anything."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.hints import INSTALL_TOOLS
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.host.holders import other_holder, used_ports
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import FAMILIES, INSTALLABLE, InstalledPrograms, Program, store_gone
from contextcore_install.stack.catalogue import COMPONENTS, METRICS_STORE, PORTS, Component, component
from contextcore_install.system import machine
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.ports import bind_problem, free_port

MIB = 1024 * 1024
#: Before this program was written, and long after: a clock that is there is wrong (Unix seconds, 2025 and 2100).
CLOCK_EARLIEST, CLOCK_LATEST = 1_735_689_600, 4_102_444_800


class HostRequirements:
    """The list, and how each is looked at."""

    def __init__(
        self,
        config: ProviderConfig,
        layout: Layout,
        ports: Mapping[str, int],
        programs: InstalledPrograms,
        daemons: Daemons,
    ) -> None:
        self._config = config
        self._layout = layout
        self._ports = ports
        self._programs = programs
        self._daemons = daemons

    def all(self) -> list[Requirement]:
        """Return every requirement; ports only of what will run."""
        running = [item for item in COMPONENTS if item.name == METRICS_STORE or self._programs.find(item)]
        others = [item for item in COMPONENTS if item.name != METRICS_STORE]
        return [
            Requirement("platform", "Operating system and Python", _platform),
            Requirement("metrics-store", "A metrics store", self._store, self._store_fix()),
            *(Requirement(item.name, item.title, partial(self._program, item)) for item in others),
            *(
                _of_machine(f"port-{port.key}", f"Port {self._ports[port.key]}", partial(self._port, item, port.key))
                for item in running
                for port in used_ports(item, self._programs.family())
            ),
            _of_machine("memory", "Memory", lambda: _memory(running)),
            _of_machine("disk", "Disk space", self._disk),
            _of_machine("folder", "The cluster's folder", lambda: _writable(self._layout.root)),
            _of_machine("bin-folder", "The folder for tools", lambda: _writable(self._config.bin_folder)),
            _of_machine("clock", "The clock", self._clock),
        ]

    def _store(self) -> Probe:
        program = self._programs.find(component(METRICS_STORE))
        if program is not None:
            return Probe(program.label)
        remembered = self._programs.remembered()
        if remembered is not None:
            error = store_gone(remembered, can_install=remembered.name in INSTALLABLE)
            remedy = Remedy("Have its program again.", error.hint, automatic=self._store_fix() is not None)
            return Probe(findings=(Finding(error.code, error.message, error.evidence, remedy),))
        names = ", ".join(name for family in FAMILIES for name in family.programs)
        if self._store_fix() is not None:
            remedy = Remedy("Get one into the program's own folder.", automatic=True)
        else:
            remedy = Remedy(f"Have one installed, or put one of these on PATH: {names}", INSTALL_TOOLS)
        message = "There is no metrics store on this machine."
        return Probe(findings=(Finding("metrics-store-missing", message, f"Looked for {names}", remedy),))

    def _store_fix(self) -> Callable[[StepContext], None] | None:
        """Return how to get a metrics store, if that was asked for and would be the one that the data is in."""
        remembered = self._programs.remembered()
        if not self._config.install_tools or not (remembered is None or remembered.name in INSTALLABLE):
            return None
        only = {remembered.name} if remembered else INSTALLABLE

        def fix(ctx: StepContext) -> None:
            from contextcore_install.system.packages.install import STORE, install_program

            install_program(STORE, ctx, self._config.bin_folder, self._config.environ, only=only)

        return fix

    def _program(self, item: Component) -> Probe:
        program: Program | None = self._programs.find(item)
        if program is not None:
            return Probe(program.label)
        other = self._programs.mistaken(item)
        reason = f"{other} is another program" if other else f"no `{item.programs[0]}` on PATH"
        text = f"not installed ({reason}); the stack goes without it. To have it: {item.hint}"
        return Probe(text, skipped=True)

    def _port(self, item: Component, key: str) -> Probe:
        port = self._ports[key]
        problem = bind_problem(port)
        if problem == 0:
            return Probe(f"{port} is free")
        if problem != errno.EADDRINUSE:
            return Probe(findings=_taken(port, key, item, problem))
        own = self._daemons.pid(item.name)
        if stranger := other_holder(port, own):
            return Probe(findings=_taken(port, key, item, problem, stranger))
        return Probe(f"{port} is held by our own {item.name} (pid {own})")

    def _disk(self) -> Probe:
        place = _existing(self._layout.root)
        free = shutil.disk_usage(place).free // MIB
        evidence = f"{free} MiB free on the disk of {place}"
        return Probe(evidence, machine_findings({"disk": str(free), "place": str(place)}, evidence))

    def _clock(self) -> Probe:
        now = time.time()
        evidence = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        remedy = Remedy("Set the clock.", "sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "timedatectl")
        if not CLOCK_EARLIEST < now < CLOCK_LATEST:
            return Probe(findings=(Finding("clock-wrong", f"The clock is wrong: it says {evidence}.", "", remedy),))
        with contextlib.suppress(OSError):
            made = self._layout.marker.stat().st_mtime
            if made > now + 3600:
                message = "The clock went back: the cluster's folder is dated in the future."
                seen = f"now {evidence}, the folder {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(made))}"
                return Probe(evidence, (Finding("clock-back", message, seen, remedy, warning=True),))
        return Probe(evidence)


def _of_machine(name: str, title: str, probe: Callable[[], Probe]) -> Requirement:
    return Requirement(name, title, probe, category=Category.INFRASTRUCTURE)


def _platform() -> Probe:
    evidence = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    if sys.platform in {"linux", "darwin"}:
        return Probe(evidence)
    message = f"The host provider runs on Linux and macOS, not on {platform.system()}."
    return Probe(evidence, (Finding("platform", message, evidence, Remedy("Use Linux, macOS or WSL2.")),))


def _memory(running: list[Component]) -> Probe:
    available = machine.available_memory() // MIB
    wanted = sum(item.memory_mib for item in running)
    evidence = f"{available} MiB available, about {wanted} wanted"
    return Probe(evidence, machine_findings({"memory": str(available), "wanted": str(wanted)}, evidence))


def _existing(path: Path) -> Path:
    """Return the nearest parent that exists, or the path itself."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _writable(folder: Path) -> Probe:
    place = _existing(folder)
    if not place.is_dir():
        remedy = Remedy(f"Move {place} away.", shlex.join(["mv", str(place), f"{place}.old"]))
        return Probe(findings=(Finding("folder-in-the-way", f"{place} is not a folder.", "", remedy),))
    # Also root may not write on a read-only file system.
    if os.access(place, os.W_OK | os.X_OK):
        return Probe(str(folder))
    remedy = Remedy("Give it to this user.", f'sudo chown -R "$(id -un)" {shlex.quote(str(place))}')
    seen = f"uid {os.getuid()}, {place} has mode {place.stat().st_mode & 0o7777:o}, uid {place.stat().st_uid}"
    return Probe(findings=(Finding("folder-unwritable", f"{place} cannot be written.", seen, remedy),))


def _taken(port: int, key: str, item: Component, problem: int, holder: str = "") -> tuple[Finding, ...]:
    """Return what it means that a port cannot be bound; `problem` is the error's number, `holder` who has it."""
    facts = {
        "port": str(port),
        "port_key": key,
        "who_needs": item.title,
        "purpose": PORTS[key].purpose,
        "free_port": str(free_port(max(port, 1024))),
        "bind": errno.errorcode.get(problem, "?"),
        "why": os.strerror(problem),
        "holder": holder,
    }
    return machine_findings(facts)
