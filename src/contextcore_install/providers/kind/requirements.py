"""What this machine must have for a cluster of kind, looked at without changing anything."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.standing import Category
from contextcore_install.diagnosis.machines import limits_met
from contextcore_install.diagnosis.rules.machine import ENGINE_DISK_WANTED
from contextcore_install.providers._kubectl.render import Source
from contextcore_install.providers._kubectl.tooling import manifests_requirement, tool_requirement
from contextcore_install.providers.kind.config import mapped_ports, needs_cgroup_v2
from contextcore_install.providers.kind.engine import Engine, EngineInfo, Node
from contextcore_install.providers.kind.holders import HOLDING
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.tools import machine
from contextcore_install.tools.ports import bind_problem, free_port
from contextcore_install.tools.programs import KIND, KUBECTL, ToolBox

MIB = 1024 * 1024


class Requirements:
    """The list, and how each is looked at."""

    def __init__(
        self,
        config: ProviderConfig,
        box: ToolBox,
        engine: Engine,
        ports: Mapping[str, int],
        node_image: str,
        source: Source,
        our_nodes: Callable[[], Sequence[Node]],
    ) -> None:
        self._config = config
        self._box = box
        self._engine = engine
        self._ports = ports
        self._node_image = node_image
        self._source = source
        self._our_nodes = our_nodes

    def all(self) -> list[Requirement]:
        """Return every requirement."""
        return [
            Requirement("engine", "A container engine", self._engine_probe),
            tool_requirement(KIND, self._box, self._config),
            tool_requirement(KUBECTL, self._box, self._config),
            _of_machine("memory", "Memory and processors of the engine", self._resources),
            _of_machine("disk", "Disk space of the engine", self._disk),
            _of_machine("cgroup", "Control groups", self._cgroup),
            _of_machine("inotify", "Limits of inotify", _inotify),
            _of_machine("proxy", "Proxies", lambda: proxies(self._config.environ)),
            manifests_requirement(self._source, self._box, KUBECTL),
            *(
                _of_machine(f"port-{key}", f"Port {port}", partial(self._port, key, inside, port))
                for inside, (key, port) in mapped_ports(self._ports).items()
            ),
        ]

    @cached_property
    def _about(self) -> tuple[EngineInfo | None, Finding | None]:
        return self._engine.trouble()

    @cached_property
    def _nodes(self) -> Sequence[Node]:
        try:
            return self._our_nodes()
        except InstallError:
            return ()

    def _engine_probe(self) -> Probe:
        info, finding = self._about
        if finding is not None or info is None:
            return Probe(findings=(finding,) if finding else ())
        evidence = f"{self._engine.name} {info.version} on {info.system}"
        path = shutil.which(self._engine.name, path=self._config.environ.get("PATH", os.defpath)) or ""
        at_home = self._config.environ.get("TMPDIR", "").startswith(str(Path.home()))
        facts = {
            "engine_path": path,
            "temporary_files": "at home" if at_home else "elsewhere",
        }
        return Probe(evidence, limits_met(facts, path))

    def _resources(self) -> Probe:
        info, _ = self._about
        if info is None or not info.memory_mib:
            return Probe("not known", skipped=True)
        evidence = f"{info.memory_mib} MiB and {info.cpus} processors given to {self._engine.name}"
        where = (
            "Docker Desktop: Settings, Resources" if sys.platform == "darwin" else "this machine needs more"
        )
        facts = {"engine_memory": str(info.memory_mib), "more": where}
        processors = {"engine_cpus": str(info.cpus or ""), "more": where}
        return Probe(evidence, (*limits_met(facts, evidence), *limits_met(processors, evidence)))

    def _disk(self) -> Probe:
        info, _ = self._about
        # In a virtual machine (Docker Desktop) the engine's folder is not to be seen: its disk grows on this one.
        place = next(
            (
                path
                for path in (Path(info.root) if info and info.root else Path("/none"), Path.home())
                if path.is_dir()
            ),
            Path("/"),
        )
        try:
            free = shutil.disk_usage(place).free // MIB
        except OSError:
            return Probe("not known", skipped=True)
        evidence = f"{free} MiB free on the disk of {place}"
        facts = {
            "engine": self._engine.name,
            "engine_disk": str(free),
            "place": str(place),
            "nodes": "made" if free < ENGINE_DISK_WANTED and self._nodes else "none",
        }
        return Probe(evidence, limits_met(facts, evidence))

    def _cgroup(self) -> Probe:
        info, _ = self._about
        if info is None:
            return Probe("not known", skipped=True)
        evidence = f"cgroup v{info.cgroup}; node image {self._node_image.partition('@')[0]}"
        if info.cgroup != 1 or any(node.state == "running" for node in self._nodes):
            return Probe(evidence)  # where nodes run already, nothing needs to be foretold
        refused = needs_cgroup_v2(self._node_image)
        facts = {"cgroup": str(info.cgroup), "node_image": "refuses" if refused else "takes"}
        return Probe(evidence, limits_met(facts, evidence))

    def _port(self, key: str, inside: int, port: int) -> Probe:
        problem = bind_problem(port)
        if problem == 0:
            return Probe(f"{port} is free")
        bound = next(
            (node.ports for node in self._nodes if node.is_control_plane and node.state in HOLDING), {}
        )
        if bound.get(inside, ("", 0))[1] == port:
            return Probe(f"{port} is held by our own cluster")
        facts = {
            "port": str(port),
            "port_key": key,
            "who_needs": key,
            "purpose": PORTS[key].purpose,
            "free_port": str(free_port(max(port, 1024))),
            "bind": errno.errorcode.get(problem, "?"),
            "why": os.strerror(problem),
            "holder": self._holder(port) if problem == errno.EADDRINUSE else "",
        }
        return Probe(findings=limits_met(facts))

    def _holder(self, port: int) -> str:
        """Say who holds a port; behind the engine's own proxy, which container."""
        try:
            names = self._engine.call("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").split()
        except InstallError:
            names = []
        if names:
            return f"the container {names[0]}"
        holder = machine.listener(port)
        if holder is None or not holder.pid:
            return "another program"
        return f"{holder.name or 'a process'} (pid {holder.pid})"


def _of_machine(name: str, title: str, probe: Callable[[], Probe]) -> Requirement:
    return Requirement(name, title, probe, category=Category.INFRASTRUCTURE)


def _inotify() -> Probe:
    if not machine.LINUX:
        return Probe("not of concern on this system", skipped=True)
    try:
        folder = Path("/proc/sys/fs/inotify")
        watches = int((folder / "max_user_watches").read_text(encoding="ascii"))
        instances = int((folder / "max_user_instances").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Probe("not known", skipped=True)
    evidence = f"max_user_watches {watches}, max_user_instances {instances}"
    facts = {"max_user_watches": str(watches), "max_user_instances": str(instances)}
    return Probe(evidence, limits_met(facts, evidence))


def proxies(environ: Mapping[str, str]) -> Probe:
    """Look whether what is said to the cluster would go through a proxy."""
    used = {
        name: environ[name]
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        if environ.get(name)
    }
    if not used:
        return Probe("none")
    without = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = ", ".join(used)
    facts = {"proxies": names, "no_proxy": without}
    findings = limits_met(facts, f"NO_PROXY={without}")
    return Probe(names if findings else f"{names}; not for {without}", findings)
