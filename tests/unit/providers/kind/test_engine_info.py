"""What engines say of themselves: documents of real ones, shortened."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from contextcore_install.providers.kind.engine_info import Node, read_info, read_info_text, read_node

BEGAN = 1767261600.0  # 2026-01-01T10:00:00Z
#: Podman 4.3.1 as a user of Debian 12 has it, with cgroup v1.
PODMAN: dict[str, Any] = {
    "host": {
        "arch": "amd64",
        "cgroupManager": "cgroupfs",
        "cgroupVersion": "v1",
        "cgroupControllers": [],
        "cpus": 2,
        "distribution": {"distribution": "debian", "version": "12", "codename": "bookworm"},
        "hostname": "vm",
        "kernel": "6.1.0-18-amd64",
        "memTotal": 25276510208,
        "networkBackend": "cni",
        "serviceIsRemote": False,
        "security": {"apparmorEnabled": False, "rootless": True, "seccompEnabled": True},
    },
    "store": {"graphRoot": "/home/joe/.local/share/containers/storage"},
    "version": {"APIVersion": "4.3.1", "Version": "4.3.1"},
}
#: Docker 28.5.2, rootless, whose controllers are not delegated.
DOCKER: dict[str, Any] = {
    "ID": "7d0f3a1c-5a6e-4c3f-9d0e-0a4f4d0c1b2a",
    "ServerVersion": "28.5.2",
    "MemTotal": 8_326_422_528,
    "NCPU": 4,
    "CgroupVersion": "2",
    "CgroupDriver": "none",
    "MemoryLimit": False,
    "PidsLimit": False,
    "CPUShares": False,
    "DockerRootDir": "/home/joe/.local/share/docker",
    "OperatingSystem": "Ubuntu 24.04.3 LTS",
    "KernelVersion": "6.8.0-88-generic",
    "Name": "vm",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "SystemTime": "2026-11-30T08:47:55.040682568Z",
}


def test_a_rootless_podman_tells_which_controllers_it_has() -> None:
    info = read_info(PODMAN)
    assert (info.rootless, info.cgroup, info.lacks) == (True, 1, ("cpu", "memory", "pids"))
    host = {**PODMAN["host"], "cgroupVersion": "v2", "cgroupControllers": ["memory", "pids"]}
    assert read_info({**PODMAN, "host": host}).lacks == ("cpu",)
    host = {**PODMAN["host"], "cgroupControllers": ["memory", "pids", "cpu", "cpuset"]}
    assert read_info({**PODMAN, "host": host}).lacks == ()


def test_a_rootless_docker_tells_which_limits_it_cannot_set() -> None:
    assert read_info(DOCKER).lacks == ("cpu", "memory", "pids")
    assert read_info({**DOCKER, "MemoryLimit": True, "PidsLimit": True, "CPUShares": True}).lacks == ()
    rootful = read_info({**DOCKER, "SecurityOptions": ["name=seccomp,profile=builtin"]})
    assert (rootful.rootless, rootful.lacks) == (False, ())


@pytest.mark.parametrize("zone", ["Z", "+00:00"])
def test_a_clock_is_compared_with_ours(zone: str) -> None:
    hour_ago = datetime.fromtimestamp(time.time() - 3600, UTC)
    told = f"{hour_ago:%Y-%m-%dT%H:%M:%S}.040682568{zone}"
    assert -3605 < read_info({**DOCKER, "SystemTime": told}).ahead_s < -3595
    assert read_info({**DOCKER, "SystemTime": "never"}).ahead_s == 0
    assert read_info(PODMAN).ahead_s == 0


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"MemTotal": "much"}', "[" * 100_000])
def test_what_no_engine_says_is_nothing(text: str) -> None:
    assert read_info_text(text) == (None, [])


def test_an_engine_that_is_down_complains_within_the_document() -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    _, problems = read_info_text(json.dumps({"ServerErrors": [said], "SecurityOptions": None, "MemTotal": 0}))
    assert problems == [said]


def test_both_engines_are_understood() -> None:
    docker = {"ServerVersion": "28.1", "MemTotal": 8 << 30, "NCPU": 4, "CgroupVersion": "2", "OperatingSystem": "x"}
    podman = {"host": {"memTotal": 8 << 30, "cpus": 4, "cgroupVersion": "v2"}, "version": {"Version": "5.1"}}
    for document, version in ((docker, "28.1"), (podman, "5.1")):
        info = read_info(document)
        assert (info.version, info.memory_mib, info.cpus, info.cgroup) == (version, 8192, 4, 2)
    assert read_info({}).cgroup == 1


def test_a_node_is_read_from_what_inspect_says() -> None:
    text = """{"Id": "i", "Name": "/demo-control-plane", "Created": "c",
      "Config": {"Image": "kindest/node:x", "Labels": {"io.x-k8s.kind.role": "control-plane"}},
      "State": {"Status": "running", "StartedAt": "s"},
      "HostConfig": {"PortBindings": {"30000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}], "1/tcp": null,
        "6443/tcp": [{"HostIp": "", "HostPort": ""}]}}}"""
    node = read_node(json.loads(text))
    assert (node.name, node.role, node.state) == ("demo-control-plane", "control-plane", "running")
    assert node.ports == {30000: ("127.0.0.1", 3000)}
    assert read_node({}).name == ""


@pytest.mark.parametrize(("created", "started", "lately"), [(0, 5, False), (-3600, 5, True), (-3600, -600, False)])
def test_a_node_has_come_back_lately_where_it_was_started_again(created: int, started: int, lately: bool) -> None:
    now = BEGAN + 60
    moments = _told(BEGAN + created), _told(BEGAN + started)
    node = Node("id1", "demo-control-plane", "control-plane", "running", *moments, "image", {})
    assert node.was_restarted_recently(now) is lately


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
