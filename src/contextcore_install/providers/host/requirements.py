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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import INSTALL_TOOLS
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.processes import other_holder, used_ports
from contextcore_install.providers.host.programs import STORE_PROGRAMS, StackPrograms
from contextcore_install.stack.catalogue import METRICS_STORE, PORTS, Component, component, memory_shares
from contextcore_install.system import machine
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.ports import bind_problem, free_port

MIB = 1024 * 1024
CLOCK_EARLIEST, CLOCK_LATEST = 1_735_689_600, 4_102_444_800  # Unix seconds: 2025, when this was written, and 2100


@dataclass(frozen=True, slots=True)
class HostRequirements:
    """The list, and how each is checked."""

    config: ProviderConfig
    layout: Layout
    ports: Mapping[str, int]
    programs: StackPrograms
    daemons: Daemons

    def all(self) -> list[Requirement]:
        """Return every requirement; ports only of what will run."""
        to_fetch = self.programs.wanted()
        there = {METRICS_STORE, *self.programs.found(), *(item.name for item in to_fetch)}
        running = [item for item in self.programs.chosen if item.name in there]
        others = [item for item in self.programs.chosen if item.name != METRICS_STORE]
        ports = [(item, port.key) for item in running for port in used_ports(item, self.programs.store())]
        fix = self.programs.fetch if self.config.install_tools else None
        fetching = [Requirement("programs", "The stack's programs", self._programs, fix, critical=False)]
        of_machine: list[tuple[str, str, Callable[[], Probe]]] = [
            *((f"port-{key}", f"Port {self.ports[key]}", partial(self._port, item, key)) for item, key in ports),
            ("memory", "Memory", partial(self._memory, running)),
            ("disk", "Disk space", partial(self._disk, to_fetch)),
            ("folder", "The cluster's folder", partial(_writable, self.layout.root)),
            ("bin-folder", "The folder for tools", partial(_writable, self.config.bin_folder)),
            ("clock", "The clock", self._clock),
        ]
        return [
            Requirement("platform", "Operating system and Python", _platform),
            *(fetching if any(item.name != METRICS_STORE or self.programs.find(item) for item in to_fetch) else ()),
            Requirement("metrics-store", "A metrics store", self._store, fix),
            *(Requirement(item.name, item.title, partial(self._program, item)) for item in others),
            *(Requirement(*row, category=Category.INFRASTRUCTURE) for row in of_machine),
        ]

    def _programs(self) -> Probe:
        wanted, found = [item.name for item in self.programs.wanted()], self.programs.found()
        lacking = ", ".join(name for name in wanted if name not in {METRICS_STORE, *found})
        older = ", ".join(found[name].label for name in wanted if name in found)
        findings = machine_findings({"lacking": lacking, "older": older})
        return Probe("" if findings else "nothing is to be fetched any more", findings)

    def _store(self) -> Probe:
        if program := self.programs.find(component(METRICS_STORE)):
            return Probe(program.label)
        error = self.programs.missing_store()
        if self.programs.remembered():
            remedy = Remedy("Have its program again.", error.hint, automatic=self.config.install_tools)
        elif self.config.install_tools:
            remedy = Remedy("Get one into the program's own folder.", automatic=True)
        else:
            remedy = Remedy(f"Have one installed, or put one of these on PATH: {STORE_PROGRAMS}", INSTALL_TOOLS)
        return Probe(findings=(Finding(error.code, error.message, error.evidence, remedy),))

    def _program(self, item: Component) -> Probe:
        if program := self.programs.find(item):
            return Probe(program.label)
        reason = self.programs.why_absent(item)
        return Probe(f"the stack goes without it; to have it: {INSTALL_TOOLS} (not installed: {reason})", skipped=True)

    def _port(self, item: Component, key: str) -> Probe:
        port = self.ports[key]
        if (problem := bind_problem(port)) == 0:
            return Probe(f"{port} is free")
        own = self.daemons.pid(item.name) if problem == errno.EADDRINUSE else 0
        stranger = other_holder(port, own) if problem == errno.EADDRINUSE else ""
        if problem == errno.EADDRINUSE and not stranger:
            return Probe(f"{port} is held by our own {item.name} (pid {own})")
        facts = {
            "port": str(port),
            "port_key": key,
            "who_needs": item.title,
            "purpose": PORTS[key].purpose,
            "free_port": str(free_port(max(port, 1024))),
            "bind": errno.errorcode.get(problem, "?"),
            "why": os.strerror(problem),
            "holder": stranger,
        }
        return Probe(findings=machine_findings(facts))

    def _memory(self, running: Sequence[Component]) -> Probe:
        available, shares = machine.available_memory() // MIB, memory_shares(self.config.options.get("memory"))
        wanted = sum(shares[item.name] for item in running)
        evidence = f"{available} MiB available, about {wanted} wanted"
        return Probe(evidence, machine_findings({"memory": str(available), "wanted": str(wanted)}, evidence))

    def _disk(self, to_fetch: Sequence[Component]) -> Probe:
        place = _existing(self.layout.root)
        free, fetched = shutil.disk_usage(place).free // MIB, sum(item.program_mib for item in to_fetch)
        evidence = f"{free} MiB free on the disk of {place}"
        evidence += f"; what is fetched takes about {fetched}" if fetched else ""
        wanted = {"disk_needed": str(fetched + 200), "disk_wanted": str(fetched + 2048)}
        return Probe(evidence, machine_findings({"disk": str(free), **_named(place), **wanted}, evidence))

    def _clock(self) -> Probe:
        now, made, state = time.time(), 0.0, ""
        with contextlib.suppress(OSError):
            made = self.layout.marker.stat().st_mtime
        if not CLOCK_EARLIEST < now < CLOCK_LATEST:
            state = "wrong"
        elif made > now + 3600:
            state = "back"
        evidence, set_clock = _utc(now), "sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "timedatectl"
        facts = {"own_clock": state, "now": evidence, "set_clock": set_clock}
        return Probe(
            evidence, machine_findings(facts, f"now {evidence}, the folder {_utc(made)}" if made else evidence)
        )


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _platform() -> Probe:
    evidence = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    return Probe(evidence, machine_findings({"system": platform.system()}, evidence))


def _existing(path: Path) -> Path:
    """Return the nearest parent that exists, or the path itself."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _named(place: Path) -> dict[str, str]:
    """Return the facts by which rules name a place: for people, and for a shell."""
    return {"place": str(place), "quoted": shlex.quote(str(place))}


def _writable(folder: Path) -> Probe:
    place = _existing(folder)
    state = "yes" if os.access(place, os.W_OK | os.X_OK) else "no"  # even root may not on a read-only file system
    state = state if place.is_dir() else "no folder"
    seen = f"uid {os.getuid()}, {place} has mode {place.stat().st_mode & 0o7777:o}, uid {place.stat().st_uid}"
    seen = seen if state == "no" else ""  # whose a file in the way is does not matter
    facts = {"writable": state, **_named(place), "aside": shlex.quote(f"{place}.old")}
    return Probe(str(folder) if state == "yes" else "", machine_findings(facts, seen))
