"""What kind needs of this machine: measured by probes, judged by rules."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Probe, ProviderConfig
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import EngineInfo, Node
from contextcore_install.providers.kind.requirements import KindRequirements
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.system.process import Captured
from contextcore_install.system.programs import ToolBox


@dataclass
class Fake(ContainerEngine):
    """An engine that says of itself what it is told to, or that it is down; it has no network for kind."""

    info: EngineInfo | None
    name: str = "docker"
    environ: Mapping[str, str] = field(default_factory=lambda: {"HOME": "/nowhere"})

    def trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        return self.info, None if self.info else Finding("engine-down", "The container engine does not run.")

    def ask(self, *arguments: str, timeout_s: float = 0, ctx: StepContext | None = None) -> Captured:
        if arguments[:2] == ("network", "inspect"):
            return Captured(arguments, 1, "", "Error: No such network: kind")
        raise InstallError("engine-error", "it cannot say who holds a port")


class Nameless(Fake):
    """An engine that has no container at any port."""

    def ask(self, *arguments: str, timeout_s: float = 0, ctx: StepContext | None = None) -> Captured:
        return Captured(arguments, 0, "", "")


def requirements(config: ProviderConfig, engine: ContainerEngine, **more: Any) -> KindRequirements:
    box = ToolBox(config.environ, config.folder, config.folder / "tools.json")
    usual = {"ports": resolve_ports({}), "node_image": "", "source": cast(Any, None), "our_nodes": lambda: ()}
    return KindRequirements(config, box, engine, **{**usual, **more})


def probe_port(folder: Path, engine: ContainerEngine, port: int, **more: Any) -> Probe:
    config = ProviderConfig("demo", folder, folder, {"PATH": os.defpath})
    return requirements(config, engine, **more).probe_port("grafana", 30000, port)


@dataclass
class World:
    """A machine to look at; the engine is down where it has no `info`."""

    folder: Path
    info: dict[str, Any] | None = field(default_factory=dict)
    node_image: str = "kindest/node:v1.37.0"
    environ: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    program: str = ""
    engine_environ: dict[str, str] = field(default_factory=lambda: {"HOME": "/nowhere"})

    def probe(self, name: str) -> Probe:
        config = ProviderConfig("demo", self.folder, self.folder, {"PATH": os.defpath, **self.environ})
        usual = {
            "version": "28",
            "memory_mib": 8192,
            "cpus": 4,
            "cgroup": 2,
            "root": str(self.folder),
            "system": "Linux",
        }
        info = EngineInfo(**{**usual, **self.info}) if self.info is not None else None
        engine, ports = Fake(info, environ=self.engine_environ), resolve_ports(self.ports)
        more = {"which": lambda *_, **__: self.program} if self.program else {}
        found = requirements(config, engine, ports=ports, node_image=self.node_image, **more)
        return next(item for item in found.all() if item.id == name).probe()

    def found(self, name: str) -> list[tuple[str, bool]]:
        findings = self.probe(name).findings
        for finding in findings:
            assert "?" not in f"{finding.message} {finding.remedy}"
        return [(finding.code, finding.warning) for finding in findings]


@pytest.mark.parametrize(
    ("has", "probe", "found"),
    [
        ({}, "memory", []),
        ({"info": {"memory_mib": 3799}}, "memory", [("memory-low", True)]),
        ({"info": {"memory_mib": 1899, "cpus": 1}}, "memory", [("memory-low", False), ("cpus-few", True)]),
        ({"info": {"cpus": 0}}, "memory", []),
        ({}, "cgroup", []),
        ({"info": {"cgroup": 1}}, "cgroup", [("cgroup-v1", False)]),
        ({"info": {"cgroup": 1}, "node_image": "kindest/node:v1.32.5"}, "cgroup", [("cgroup-v1", True)]),
        ({"info": {"rootless": True}}, "cgroup", []),
        ({"info": {"rootless": True, "cgroup": 1}}, "cgroup", [("cgroup-v1", False)]),
        ({"info": {"rootless": True, "lacks": ("cpu",)}}, "cgroup", [("cgroup-delegation", False)]),
        ({"info": {"ahead_s": 59.0}}, "clock", []),
        ({"info": {"ahead_s": -61.0}}, "clock", [("engine-clock", True)]),
        ({"info": {"ahead_s": 86400.0}}, "clock", [("engine-clock", True)]),
        ({"info": None}, "clock", []),
        ({"info": None}, "addresses", []),
        ({}, "proxy", []),
        ({"environ": {"HTTPS_PROXY": "http://p:1"}}, "proxy", [("proxy", True)]),
        ({"environ": {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a,127.0.0.1"}}, "proxy", []),
        ({"environ": {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}}, "proxy", []),
        ({}, "engine", []),
    ],
)
def test_what_is_measured_is_judged(tmp_path: Path, has: dict[str, Any], probe: str, found: list[Any]) -> None:
    assert World(tmp_path, **has).found(probe) == found


@pytest.mark.parametrize(
    ("system", "socket_path", "where"),
    [
        ("Ubuntu 24.04.3 LTS", "/var/run/docker.sock", "this machine needs more"),
        ("Docker Desktop", "/home/joe/.docker/desktop/docker.sock", "Settings, Resources, Memory"),
        ("Ubuntu 24.04.2 LTS", "/Users/joe/.colima/big/docker.sock", "colima start big --memory 8"),
        ("OrbStack", "/var/run/docker.sock", "orb config set memory_mib 8192"),
        ("Alpine Linux v3.21", "/Users/joe/.rd/docker.sock", "rdctl set --virtual-machine.memory-in-gb 8"),
    ],
)
def test_where_to_give_the_engine_more_memory_is_the_products_own_place(
    tmp_path: Path, system: str, socket_path: str, where: str
) -> None:
    environ = {"HOME": "/nowhere", "DOCKER_HOST": f"unix://{socket_path}"}
    world = World(tmp_path, info={"memory_mib": 1024, "system": system}, engine_environ=environ)
    (finding,) = world.probe("memory").findings
    assert finding.remedy is not None
    assert where in finding.remedy.summary


def test_docker_from_snap_is_told_of_where_its_temporary_files_are_elsewhere(tmp_path: Path) -> None:
    at_home = {"TMPDIR": str(Path.home() / "tmp")}
    assert World(tmp_path, program="/snap/bin/docker").found("engine") == [("snap-docker", True)]
    assert World(tmp_path, program="/snap/bin/docker", environ=at_home).found("engine") == []


def test_while_the_engine_is_down_nobody_is_named_who_holds_a_port(tmp_path: Path) -> None:
    """Containers outlive their engine, and what holds their ports does, too."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        probe = World(tmp_path, info=None, ports={"grafana": held.getsockname()[1]}).probe("port-grafana")
    assert (probe.findings, probe.skipped) == ((), True)


def test_an_engine_that_does_not_say_who_holds_a_port_names_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        probe = World(tmp_path, ports={"grafana": held.getsockname()[1]}).probe("port-grafana")
    assert (probe.findings, probe.skipped) == ((), True)


@pytest.mark.parametrize(
    ("rootless", "problem", "code"),
    [
        (True, errno.EACCES, "port-privileged"),
        (True, 0, "port-privileged"),
        (False, errno.EACCES, ""),
        (False, 0, ""),
        (False, errno.EADDRNOTAVAIL, "port-unusable"),
    ],
)
def test_only_a_rootless_engine_may_not_use_a_port_below_the_systems_limit(
    tmp_path: Path, problem: int, code: str, *, rootless: bool
) -> None:
    info = EngineInfo("28", 8192, 4, 2, str(tmp_path), "Linux", rootless=rootless)
    more = {"bind_problem": lambda _: problem, "privileged_below": lambda: 1024}
    findings = probe_port(tmp_path, Fake(info), 80, **more).findings
    assert [finding.code for finding in findings] == ([code] if code else [])


def test_a_port_that_is_held_is_told_with_its_holder_and_another_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        info = EngineInfo("28", 8192, 4, 2, str(tmp_path), "Linux")
        (finding,) = probe_port(tmp_path, Nameless(info), port).findings
    assert finding.code == "port-in-use"
    assert f"pid {os.getpid()}" in finding.message
    assert finding.remedy is not None
    assert finding.remedy.command.startswith("./create-cluster.sh --port grafana=")


def test_a_port_of_a_cluster_that_exists_is_freed_and_not_changed(tmp_path: Path) -> None:
    node = Node("id", "demo-control-plane", "control-plane", "exited", "", "", "node:1", {})
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        info = EngineInfo("28", 8192, 4, 2, str(tmp_path), "Linux")
        (finding,) = probe_port(tmp_path, Nameless(info), port, our_nodes=lambda: (node,)).findings
    assert finding.code == "port-in-use"
    assert finding.remedy is not None
    assert finding.remedy.command == f"kill {os.getpid()}"
    assert "keeps the ports" in finding.remedy.summary
