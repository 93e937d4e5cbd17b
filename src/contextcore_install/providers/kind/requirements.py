"""What this machine must have for a cluster of kind, looked at without changing anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.kind.config import mapped_ports, needs_cgroup_v2
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.engine_info import DELEGATED, MIB, EngineInfo
from contextcore_install.providers.kind.port_requirement import PortProbe
from contextcore_install.providers.kubernetes.render import ManifestSource
from contextcore_install.providers.kubernetes.tooling import manifests_requirement, tool_requirement
from contextcore_install.system import machine, routes
from contextcore_install.system.programs import KIND, KUBECTL, ToolBox

#: Seconds by which clocks may differ: an engine takes some to answer.
CLOCKS_DIFFER_S = 60.0
ENGINE_DISK_WANTED = 8192  # MiB, below which diagnosis/rules/machine.toml warns


class KindRequirements:
    """The list, and how each is looked at."""

    def __init__(
        self,
        config: ProviderConfig,
        box: ToolBox,
        engine: ContainerEngine,
        ports: Mapping[str, int],
        node_image: str,
        source: ManifestSource,
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
            _of_machine("clock", "The engine's clock", self._clock),
            _of_machine("cgroup", "Control groups", self._cgroup),
            _of_machine("inotify", "Limits of inotify", _inotify),
            _of_machine("proxy", "Proxies", lambda: proxies(self._config.environ)),
            _of_machine("addresses", "Address ranges for the engine's networks", self._addresses),
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
        if not info.rootless and self._engine.endpoint.elsewhere:
            # A rootless engine has a network of its own, and passes what it publishes on to ours.
            url, local = self._engine.endpoint.shown, self._engine.endpoint.local or "docker context ls"
            facts = {"engine_network": "another", "endpoint": url, "local": local}
            return Probe(evidence, machine_findings(facts, evidence))
        path = shutil.which(self._engine.name, path=self._config.environ.get("PATH", os.defpath)) or ""
        at_home = self._config.environ.get("TMPDIR", "").startswith(str(Path.home()))
        facts = {"engine_path": path, "temporary_files": "at home" if at_home else "elsewhere"}
        return Probe(evidence, machine_findings(facts, path))

    def _resources(self) -> Probe:
        info, _ = self._about
        if info is None or not info.memory_mib:
            return Probe("not known", skipped=True)
        evidence = f"{info.memory_mib} MiB and {info.cpus} processors given to {self._engine.name}"
        where = self._engine.product(info=info).memory
        facts = {"engine_memory": str(info.memory_mib), "more": where}
        processors = {"engine_cpus": str(info.cpus or ""), "more": where}
        return Probe(evidence, (*machine_findings(facts, evidence), *machine_findings(processors, evidence)))

    def _disk(self) -> Probe:
        info, _ = self._about
        # In a virtual machine (Docker Desktop) the engine's folder is not to be seen: its disk grows on this one.
        place = next(
            (path for path in (Path(info.root) if info and info.root else Path("/none"), Path.home()) if path.is_dir()),
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
        return Probe(evidence, machine_findings(facts, evidence))

    def _cgroup(self) -> Probe:
        info, _ = self._about
        if info is None:
            return Probe("not known", skipped=True)
        evidence = f"cgroup v{info.cgroup}; node image {self._node_image.partition('@')[0]}"
        if any(node.state == "running" for node in self._nodes):
            return Probe(evidence)  # where nodes run already, nothing needs to be foretold
        refused = needs_cgroup_v2(self._node_image)
        facts = {
            "engine": self._engine.name,
            "cgroup": str(info.cgroup),
            "node_image": "refuses" if refused else "takes",
            "rootless": "yes" if info.rootless else "no",
            "lacks": ", ".join(info.lacks),
            "delegated": "yes" if machine.delegated_controllers() >= DELEGATED else "no",
        }
        return Probe(evidence, machine_findings(facts, evidence))

    def _clock(self) -> Probe:
        info, _ = self._about
        if info is None:
            return Probe("not known", skipped=True)
        if abs(info.ahead_s) < CLOCKS_DIFFER_S:
            return Probe("as this machine's")
        side = "ahead of" if info.ahead_s > 0 else "behind"
        restart = self._engine.product(info=info).restart
        facts = {"clock": side, "clock_off": f"{abs(info.ahead_s):.0f}", "restart": restart}
        return Probe(findings=machine_findings(facts, f"{abs(info.ahead_s):.0f} s {side} this machine's"))

    def _addresses(self) -> Probe:
        info, _ = self._about
        if info is None or info.rootless or info.kernel != os.uname().release:
            return Probe("not of concern", skipped=True)  # it has a network, or a machine, of its own
        try:
            table = routes.TABLE.read_text(encoding="ascii")
        except OSError:
            return Probe("not known", skipped=True)
        interface = routes.taker_of_pools(table)
        try:
            if not interface or self._engine.has_network():
                return Probe("there is one")
        except InstallError:
            return Probe("not known", skipped=True)
        return Probe(interface, machine_findings({"interface": interface}, f"routes of {interface}"))

    def _port(self, key: str, inside: int, port: int) -> Probe:
        info, _ = self._about
        return PortProbe(self._engine, info, lambda: self._nodes).look(key, inside, port)


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
    return Probe(evidence, machine_findings(facts, evidence))


def proxies(environ: Mapping[str, str]) -> Probe:
    """Look whether what is said to the cluster would go through a proxy."""
    used = {
        name: environ[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy") if environ.get(name)
    }
    if not used:
        return Probe("none")
    without = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = ", ".join(used)
    facts = {"proxies": names, "no_proxy": without}
    findings = machine_findings(facts, f"NO_PROXY={without}")
    return Probe(names if findings else f"{names}; not for {without}", findings)
