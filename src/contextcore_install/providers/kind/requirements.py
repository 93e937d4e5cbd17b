"""What this machine must have for a cluster of kind, probed without changing anything."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.requirements import Category, how_to_end
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.kind.cluster import mapped_ports, needs_cgroup_v2
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import DELEGATED, HOLDING_PORTS, MIB, EngineInfo, Node
from contextcore_install.providers.kubernetes.manifests import ManifestSource
from contextcore_install.providers.kubernetes.requirements import manifests_requirement, tool_requirement
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.system import machine
from contextcore_install.system.ports import bind_problem, free_port
from contextcore_install.system.programs import KIND, KUBECTL, Tool, ToolBox

CLOCKS_DIFFER_S = 60.0  # seconds by which clocks may differ: an engine takes some to answer
ENGINE_DISK_WANTED = 8192  # MiB, below which diagnosis/rules/machine.toml warns
_UNKNOWN = Probe("not known", skipped=True)


@dataclass
class KindRequirements:
    """The requirements, and how each is probed. `our_nodes` may raise InstallError."""

    config: ProviderConfig
    box: ToolBox
    engine: ContainerEngine
    ports: Mapping[str, int]
    node_image: str
    source: ManifestSource
    our_nodes: Callable[[], Sequence[Node]]
    kind: Tool = KIND
    bind_problem: Callable[[int], int] = bind_problem
    privileged_below: Callable[[], int] = machine.privileged_below
    which: Callable[..., str | None] = shutil.which

    def all(self) -> list[Requirement]:
        of_machine = partial(Requirement, category=Category.INFRASTRUCTURE)
        return [
            Requirement("engine", "A container engine", self._engine_probe),
            tool_requirement(self.kind, self.box, self.config),
            tool_requirement(KUBECTL, self.box, self.config),
            of_machine("memory", "Memory and processors of the engine", partial(self._if_known, self._resources)),
            of_machine("disk", "Disk space of the engine", self._disk),
            of_machine("clock", "The engine's clock", partial(self._if_known, self._clock)),
            of_machine("cgroup", "Control groups", partial(self._if_known, self._cgroup)),
            of_machine("inotify", "Limits of inotify", _inotify),
            of_machine("proxy", "Proxies", partial(_proxies, self.config.environ)),
            of_machine("addresses", "Address ranges for the engine's networks", self._addresses),
            manifests_requirement(self.source, self.box),
            *(
                of_machine(f"port-{key}", f"Port {port}", partial(self.probe_port, key, inside, port))
                for inside, (key, port) in mapped_ports(self.ports).items()
            ),
        ]

    @cached_property
    def _trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        return self.engine.trouble()

    def _if_known(self, probe: Callable[[EngineInfo], Probe]) -> Probe:
        info, _ = self._trouble
        return _UNKNOWN if info is None else probe(info)

    @cached_property
    def _nodes(self) -> Sequence[Node]:
        try:
            return self.our_nodes()
        except InstallError:
            return ()

    def _engine_probe(self) -> Probe:
        info, finding = self._trouble
        if info is None:
            return Probe(findings=(finding,) if finding else ())
        evidence, endpoint = f"{self.engine.name} {info.version} on {info.system}", self.engine.endpoint
        if not info.rootless and endpoint.in_another_network:
            # A rootless engine has a network of its own, and passes what it publishes on to ours.
            local = endpoint.local or "docker context ls"
            facts = {"engine_network": "another", "endpoint": endpoint.shown, "local": local}
            return Probe(evidence, machine_findings(facts, evidence))
        path = self.which(self.engine.name, path=self.config.environ.get("PATH", os.defpath)) or ""
        at_home = self.config.environ.get("TMPDIR", "").startswith(str(Path.home()))
        facts = {"engine_path": path, "temporary_files": "at home" if at_home else "elsewhere"}
        return Probe(evidence, machine_findings(facts, path))

    def _resources(self, info: EngineInfo) -> Probe:
        if not info.memory_mib:
            return _UNKNOWN
        evidence = f"{info.memory_mib} MiB and {info.cpus} processors given to {self.engine.name}"
        more = self.engine.product(info=info).memory
        memory = machine_findings({"engine_memory": str(info.memory_mib), "more": more}, evidence)
        cpus = machine_findings({"engine_cpus": str(info.cpus or ""), "more": more}, evidence)
        return Probe(evidence, (*memory, *cpus))

    def _disk(self) -> Probe:
        # The folder of an engine in a virtual machine (Docker Desktop) is not visible: its disk grows on this one.
        info, _ = self._trouble
        places = (Path(info.root) if info and info.root else Path("/none"), Path.home(), Path("/"))
        place = next(path for path in places if path.is_dir())
        try:
            free = shutil.disk_usage(place).free // MIB
        except OSError:
            return _UNKNOWN
        evidence = f"{free} MiB free on the disk of {place}"
        nodes = "made" if free < ENGINE_DISK_WANTED and self._nodes else "none"
        facts = {"engine": self.engine.name, "engine_disk": str(free), "place": str(place), "nodes": nodes}
        return Probe(evidence, machine_findings(facts, evidence))

    def _cgroup(self, info: EngineInfo) -> Probe:
        evidence = f"cgroup v{info.cgroup}; node image {self.node_image.partition('@')[0]}"
        if any(node.state == "running" for node in self._nodes):
            return Probe(evidence)  # nodes run already: nothing needs to be foretold
        facts = {
            "engine": self.engine.name,
            "cgroup": str(info.cgroup),
            "node_image": "refuses" if needs_cgroup_v2(self.node_image) else "takes",
            "rootless": "yes" if info.rootless else "no",
            "lacks": ", ".join(info.lacks),
            "delegated": "yes" if machine.delegated_controllers() >= DELEGATED else "no",
        }
        return Probe(evidence, machine_findings(facts, evidence))

    def _clock(self, info: EngineInfo) -> Probe:
        off, side = f"{abs(info.ahead_s):.0f}", "ahead of" if info.ahead_s > 0 else "behind"
        if abs(info.ahead_s) < CLOCKS_DIFFER_S:
            return Probe("as this machine's")
        facts = {"clock": side, "clock_off": off, "restart": self.engine.product(info=info).restart}
        return Probe(findings=machine_findings(facts, f"{off} s {side} this machine's"))

    def _addresses(self) -> Probe:
        info, _ = self._trouble
        if info is None or info.rootless or info.kernel != os.uname().release:
            return Probe("not of concern", skipped=True)  # it has a network, or a machine, of its own
        if not (table := machine.kernel_text("/proc/net/route")):
            return _UNKNOWN
        try:
            interface = machine.taker_of_pools(table)
            if not interface or self.engine.has_network():
                return Probe("there is one")
        except InstallError:
            return _UNKNOWN
        return Probe(interface, machine_findings({"interface": interface}, f"routes of {interface}"))

    def probe_port(self, key: str, inside: int, port: int) -> Probe:
        """Probe the port of a component (`key`) that leads to the port `inside` the node."""
        info, _ = self._trouble
        facts = {
            "port": str(port),
            "port_key": key,
            "who_needs": key,
            "purpose": PORTS[key].purpose,
            "privileged_below": str(self.privileged_below()),
            "rootless": "yes" if info is not None and info.rootless else "no",
        }
        problem = self.bind_problem(port)
        if problem == 0:
            return Probe(f"{port} is free", machine_findings(facts, f"{port} is free"))
        if info is None:
            # Containers outlive their engine, and the proxies that hold their ports do, too.
            return Probe(f"{port} is held; by whom, the engine does not say", skipped=True)
        if problem == errno.EACCES and not info.rootless:
            return Probe(f"{port} is free, and the engine may use it")
        bound = next((node.ports for node in self._nodes if node.is_control_plane and node.state in HOLDING_PORTS), {})
        if bound.get(inside, ("", 0))[1] == port:
            return Probe(f"{port} is held by our own cluster")
        try:
            holder = self._holder(port) if problem == errno.EADDRINUSE else ""
        except InstallError as error:
            return Probe(f"{port} is held; by whom, the engine does not say: {error.message}", skipped=True)
        facts |= {
            "ports": "fixed" if self._nodes else "chosen",
            "end_holder": how_to_end(holder, port, self.engine.name),
            "free_port": str(free_port(max(port, 1024))),
            "bind": errno.errorcode.get(problem, "?"),
            "why": os.strerror(problem),
            "holder": holder,
        }
        return Probe(findings=machine_findings(facts))

    def _holder(self, port: int) -> str:
        """Say who holds a port; behind the engine's own proxy, which container. Raises InstallError."""
        names = self.engine.call("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").split()
        if names:
            return f"the container {names[0]}"
        holder = machine.listener(port)
        return holder.label if holder else "another program"


def _inotify() -> Probe:
    if not machine.LINUX:
        return Probe("not of concern on this system", skipped=True)
    names = ("max_user_watches", "max_user_instances")
    facts = {name: machine.kernel_text(f"/proc/sys/fs/inotify/{name}") for name in names}
    if not all(facts.values()):
        return _UNKNOWN
    evidence = ", ".join(f"{name} {limit}" for name, limit in facts.items())
    return Probe(evidence, machine_findings(facts, evidence))


def _proxies(environ: Mapping[str, str]) -> Probe:
    variables = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    names = ", ".join(name for name in variables if environ.get(name))
    if not names:
        return Probe("none")
    without = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    findings = machine_findings({"proxies": names, "no_proxy": without}, f"NO_PROXY={without}")
    return Probe(names if findings else f"{names}; not for {without}", findings)
