"""What kind needs of this machine: measured by probes, judged by rules."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.provider import Probe, ProviderConfig
from contextcore_install.providers.kind.engine import Engine, EngineInfo
from contextcore_install.providers.kind.requirements import Requirements
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.tools.programs import ToolBox


@dataclass
class Fake:
    """An engine that says of itself what it is told to."""

    info: EngineInfo
    name: str = "docker"

    def trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        return self.info, None

    def call(self, *arguments: str) -> str:
        raise InstallError("engine-error", "it cannot say who holds a port")


@dataclass
class World:
    """A machine to look at."""

    folder: Path
    memory: int = 8192
    cpus: int = 4
    cgroup: int = 2
    node_image: str = "kindest/node:v1.37.0"
    environ: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def probe(self, name: str) -> Probe:
        config = ProviderConfig("demo", self.folder, self.folder, {"PATH": os.defpath, **self.environ})
        info = EngineInfo("28", self.memory, self.cpus, self.cgroup, str(self.folder), "Linux")
        box = ToolBox(config.environ, self.folder, self.folder / "tools.json")
        found = Requirements(
            config,
            box,
            cast(Engine, Fake(info)),
            resolve_ports(self.ports),
            self.node_image,
            cast(Any, None),
            lambda: (),
        )
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
        ({"memory": 3799}, "memory", [("memory-low", True)]),
        ({"memory": 1899, "cpus": 1}, "memory", [("memory-low", False), ("cpus-few", True)]),
        ({"cpus": 0}, "memory", []),
        ({}, "cgroup", []),
        ({"cgroup": 1}, "cgroup", [("cgroup-v1", False)]),
        ({"cgroup": 1, "node_image": "kindest/node:v1.32.5"}, "cgroup", [("cgroup-v1", True)]),
        ({}, "proxy", []),
        ({"environ": {"HTTPS_PROXY": "http://p:1"}}, "proxy", [("proxy", True)]),
        ({"environ": {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a,127.0.0.1"}}, "proxy", []),
        ({"environ": {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}}, "proxy", []),
        ({}, "engine", []),
    ],
)
def test_what_is_measured_is_judged(
    tmp_path: Path, has: dict[str, Any], probe: str, found: list[Any]
) -> None:
    assert World(tmp_path, **has).found(probe) == found


def test_docker_from_snap_is_told_of_where_its_temporary_files_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "/snap/bin/docker"
    monkeypatch.setattr("shutil.which", lambda name, path: program if name == "docker" else None)
    assert World(tmp_path).found("engine") == [("snap-docker", True)]
    assert World(tmp_path, environ={"TMPDIR": str(Path.home() / "tmp")}).found("engine") == []


def test_a_port_that_is_held_is_told_with_its_holder_and_another_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        (finding,) = World(tmp_path, ports={"grafana": port}).probe("port-grafana").findings
    assert finding.code == "port-in-use"
    assert f"pid {os.getpid()}" in finding.message
    assert finding.remedy is not None
    assert finding.remedy.command.startswith("./create-cluster.sh --port grafana=")
