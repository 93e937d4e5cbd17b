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
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.ports import Probe, ProviderConfig, Requirement
from contextcore_install.core.standing import Category
from contextcore_install.diagnosis.kind_rules import INOTIFY
from contextcore_install.providers._kubectl.render import Source
from contextcore_install.providers._kubectl.tooling import manifests_requirement, tool_requirement
from contextcore_install.providers.kind.config import mapped_ports, needs_cgroup_v2
from contextcore_install.providers.kind.engine import Engine, EngineInfo, Node
from contextcore_install.stack.catalogue import LOOPBACK, PORTS
from contextcore_install.tools import machine
from contextcore_install.tools.ports import bind_problem, free_port
from contextcore_install.tools.programs import KIND, KUBECTL, ToolBox

MIB = 1024 * 1024
#: Memory (MiB) without which the stack does not start, and with which it runs well: requests and node together.
MEMORY_NEEDED, MEMORY_WANTED = 1900, 3800
#: Disk (MiB): node image, the stack's images in engine and node, and a week of data.
DISK_NEEDED, DISK_WANTED = 2048, 8192
CPUS_WANTED = 2
WATCHES, INSTANCES = 524_288, 512
"""Of kind's "Known Issues": several nodes in one kernel use up the defaults."""


_HOLDING = frozenset({"running", "paused", "restarting"})
"""States of a container in which the engine holds its ports."""


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
        if "/snap/" in str(Path(path).resolve()) and not self._config.environ.get("TMPDIR", "").startswith(
            str(Path.home())
        ):
            message = "Docker from snap reads temporary files only within the home folder."
            remedy = Remedy("Let them be there.", 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"')
            return Probe(evidence, (Finding("snap-docker", message, path, remedy, warning=True),))
        return Probe(evidence)

    def _resources(self) -> Probe:
        info, _ = self._about
        if info is None or not info.memory_mib:
            return Probe("not known", skipped=True)
        evidence = f"{info.memory_mib} MiB and {info.cpus} processors given to {self._engine.name}"
        where = (
            "Docker Desktop: Settings, Resources" if sys.platform == "darwin" else "this machine needs more"
        )
        remedy = Remedy(f"Give the engine more ({where}).")
        findings = []
        if info.memory_mib < MEMORY_WANTED:
            message = f"The engine has {info.memory_mib} MiB of memory; the stack wants {MEMORY_WANTED}."
            few = info.memory_mib < MEMORY_NEEDED
            findings.append(Finding("memory-low", message, evidence, remedy, warning=not few))
        if 0 < info.cpus < CPUS_WANTED:
            message = f"The engine has {info.cpus} processor; {CPUS_WANTED} are wanted."
            findings.append(Finding("cpus-few", message, evidence, remedy, warning=True))
        return Probe(evidence, tuple(findings))

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
        remedy = Remedy("Free some space.", f"{self._engine.name} system df; df -h {place}")
        if free >= DISK_WANTED or (self._nodes and free >= DISK_NEEDED):
            return Probe(evidence)
        message = f"The container engine's disk is almost full: {free} of {DISK_WANTED} MiB are free."
        return Probe(evidence, (Finding("disk-low", message, evidence, remedy, warning=free >= DISK_NEEDED),))

    def _cgroup(self) -> Probe:
        info, _ = self._about
        if info is None:
            return Probe("not known", skipped=True)
        evidence = f"cgroup v{info.cgroup}; node image {self._node_image.partition('@')[0]}"
        if info.cgroup != 1 or any(node.state == "running" for node in self._nodes):
            return Probe(evidence)  # where nodes run already, nothing needs to be foretold
        refused = needs_cgroup_v2(self._node_image)
        remedy = Remedy(
            "Boot with cgroup v2 (kernel option systemd.unified_cgroup_hierarchy=1), or use an older node image.",
            "./create-cluster.sh --node-image kindest/node:v1.32.5",
        )
        message = "This engine has cgroup v1, which " + (
            "the node image refuses." if refused else "newer node images refuse."
        )
        return Probe(evidence, (Finding("cgroup-v1", message, evidence, remedy, warning=not refused),))

    def _port(self, key: str, inside: int, port: int) -> Probe:
        problem = bind_problem(port)
        if problem == 0:
            return Probe(f"{port} is free")
        bound = next(
            (node.ports for node in self._nodes if node.is_control_plane and node.state in _HOLDING), {}
        )
        if bound.get(inside, ("", 0))[1] == port:
            return Probe(f"{port} is held by our own cluster")
        remedy = Remedy(
            f"End it, or choose another port for {PORTS[key].purpose}.",
            f"./create-cluster.sh --port {key}={free_port(max(port, 1024))}",
        )
        if problem != errno.EADDRINUSE:
            message = f"Port {port} cannot be used: {os.strerror(problem)}."
            return Probe(findings=(Finding("port-unusable", message, "", remedy),))
        who = self._holder(port)
        message = f"Port {port}, which {key} needs, is held by {who}."
        return Probe(
            findings=(Finding("port-in-use", message, f"{LOOPBACK}:{port} is held by {who}", remedy),)
        )

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
    if watches >= WATCHES and instances >= INSTANCES:
        return Probe(evidence)
    remedy = Remedy("Raise them.", INOTIFY)
    message = "The limits of inotify are low; nodes and pods may fail with `too many open files`."
    return Probe(evidence, (Finding("inotify-limit", message, evidence, remedy, warning=True),))


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
    if LOOPBACK in without.split(",") or "*" in without:
        return Probe(f"{names}; not for {without}")
    remedy = Remedy(
        "Leave out what is on this machine.", f'export NO_PROXY="{LOOPBACK},localhost,${{NO_PROXY:-}}"'
    )
    message = (
        f"{names} is set, and NO_PROXY does not name {LOOPBACK}: other programs may not reach the stack."
    )
    return Probe(names, (Finding("proxy", message, f"NO_PROXY={without}", remedy, warning=True),))
