"""kind's clusters: whose they are, what state they are in, what they are made from, and what goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.diagnosis.failures import engine_failure, kind_failure
from contextcore_install.providers.kind.config import (
    NODE_IMAGE,
    cluster_config,
    default_node_image,
    image_version,
    mapped_ports,
    needs_cgroup_v2,
)
from contextcore_install.providers.kind.engine_info import Node, read_info, read_node
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.inspector import ClusterSnapshot
from contextcore_install.providers.kind.owner import NODE_LABEL, Owner, OwnerFile
from contextcore_install.providers.kind.readiness import MANAGER, has_come_back
from contextcore_install.providers.kind.report import differing_options, other_ports, report_of
from contextcore_install.stack.catalogue import resolve_ports

PORTS = resolve_ports({})
BOUND = {inside: ("127.0.0.1", here) for inside, (_, here) in mapped_ports(PORTS).items()}
NODE = Node("id1", "demo-control-plane", "control-plane", "running", "2026-01-01T10:00:05.1Z", "", "image", BOUND)
BEGAN = 1767261600.0  # 2026-01-01T10:00:00Z
OWNER = Owner("abc", "demo", BEGAN, tuple(port for _, port in BOUND.values()), ("id1",), complete=True)


def member(name: str, *, ready: bool = True) -> dict[str, Any]:
    """A node as the API tells of it."""
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name, "labels": {NODE_LABEL: "abc"}}, "status": {"conditions": conditions}}


CORDONED = {**member(NODE.name), "spec": {"unschedulable": True}}
SNAPSHOT = ClusterSnapshot((NODE,), OWNER, ours=True, members=(member(NODE.name),))


def report(snapshot: ClusterSnapshot) -> tuple[ClusterState, list[str]]:
    found = report_of("demo", snapshot, PORTS)
    return found.state, [finding.code for finding in found.findings]


API_AWAY = InstallError("api-unreachable", "no answer")
STOPPED = replace(NODE, state="exited")
UNREADABLE = InstallError("kubeconfig-unreadable", "", 'error: error loading config file "/tmp/it\'s": yaml: line 3: x')


@pytest.mark.parametrize(
    ("snapshot", "state", "codes"),
    [
        (SNAPSHOT, ClusterState.HEALTHY, []),
        (ClusterSnapshot((), None, ours=True), ClusterState.ABSENT, []),
        (ClusterSnapshot((), OWNER, ours=True), ClusterState.ABSENT, []),
        (replace(SNAPSHOT, ours=False), ClusterState.FOREIGN, []),
        (replace(SNAPSHOT, owner=replace(OWNER, complete=False)), ClusterState.PARTIAL, []),
        (replace(SNAPSHOT, nodes=(STOPPED,)), ClusterState.STOPPED, []),
        (replace(SNAPSHOT, nodes=(replace(NODE, state="paused"),)), ClusterState.STOPPED, []),
        (replace(SNAPSHOT, members=(member(NODE.name, ready=False),)), ClusterState.DEGRADED, ["nodes-not-ready"]),
        (replace(SNAPSHOT, members=()), ClusterState.DEGRADED, ["nodes-not-ready"]),
        (
            replace(SNAPSHOT, members=(), kubectl_error=API_AWAY, api_error=API_AWAY),
            ClusterState.DEGRADED,
            ["api-silent"],
        ),
        (replace(SNAPSHOT, kubectl_error=API_AWAY), ClusterState.HEALTHY, ["context-missing"]),
        (
            replace(SNAPSHOT, kubectl_error=InstallError("context-elsewhere", "")),
            ClusterState.HEALTHY,
            ["context-missing"],
        ),
        (replace(SNAPSHOT, kubectl_error=UNREADABLE), ClusterState.HEALTHY, ["kubeconfig-unreadable"]),
        (replace(SNAPSHOT, nodes=(replace(NODE, networks={}),)), ClusterState.DEGRADED, ["node-detached"]),
        (
            replace(SNAPSHOT, nodes=(replace(NODE, networks={}),), kubectl_error=API_AWAY),
            ClusterState.DEGRADED,
            ["node-detached"],
        ),
        (replace(SNAPSHOT, nodes=(replace(STOPPED, networks={}),)), ClusterState.STOPPED, ["node-detached"]),
        (replace(SNAPSHOT, owner=replace(OWNER, nodes=("id1", "id2"))), ClusterState.HEALTHY, ["node-lost"]),
        (replace(SNAPSHOT, nodes=(replace(NODE, role="worker"),)), ClusterState.LOST, []),
        (replace(SNAPSHOT, members=(CORDONED,)), ClusterState.HEALTHY, ["node-cordoned"]),
        (replace(SNAPSHOT, owner=None), ClusterState.HEALTHY, ["note-lost"]),
    ],
)
def test_what_is_seen_comes_to_a_state(snapshot: ClusterSnapshot, state: ClusterState, codes: list[str]) -> None:
    assert report(snapshot) == (state, codes)


def test_a_file_that_kubectl_cannot_read_is_moved_aside_by_whom_it_belongs_to_and_never_by_a_repair() -> None:
    (finding,) = report_of("demo", replace(SNAPSHOT, kubectl_error=UNREADABLE), PORTS).findings
    assert finding.remedy is not None
    assert not finding.remedy.automatic
    said = "mv '/tmp/it'\"'\"'s' '/tmp/it'\"'\"'s.aside' && kind export kubeconfig --name demo"
    assert finding.remedy.command == said


def test_other_ports_than_wanted_are_named(tmp_path: Path) -> None:
    wanted = resolve_ports({"grafana": 3999})
    assert other_ports((NODE,), wanted) == {"grafana": 3000}


@pytest.mark.parametrize(
    ("owner", "node", "ours"),
    [
        (OWNER, NODE, True),
        (OWNER, replace(NODE, id="another"), False),
        (replace(OWNER, nodes=()), NODE, True),
        (replace(OWNER, nodes=()), replace(NODE, created="2026-01-01T09:00:00Z"), False),
        (replace(OWNER, nodes=()), replace(NODE, ports={}), False),
        (replace(OWNER, nodes=()), replace(NODE, created="nonsense"), False),
        (replace(OWNER, nodes=()), replace(NODE, role="worker", ports={}), True),
    ],
)
def test_a_cluster_is_ours_by_its_containers_or_by_when_and_how_they_were_made(
    owner: Owner, node: Node, *, ours: bool
) -> None:
    assert owner.owns([node]) is ours


def test_the_note_survives_and_a_damaged_or_foreign_one_is_none(tmp_path: Path) -> None:
    file = OwnerFile(tmp_path / "new" / "owner.json", "demo")
    assert file.read() is None
    owner = file.begin([3000, 9009], "docker")
    assert not owner.complete
    assert file.read() == owner
    assert file.finish(owner, [NODE]).complete
    assert OwnerFile(tmp_path / "new" / "owner.json", "another").read() is None
    for text in ("", "[]", '{"id": 1}', '{"nodes": 3}'):
        (tmp_path / "new" / "owner.json").write_text(text)
        assert file.read() is None


def test_ports_are_shown_on_loopback_only_and_nodes_carry_our_mark() -> None:
    config = cluster_config("demo", "abc", PORTS, NODE_IMAGE, workers=2)
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    mappings = config["nodes"][0]["extraPortMappings"]
    assert {entry["listenAddress"] for entry in mappings} == {"127.0.0.1"}
    assert {(entry["containerPort"], entry["hostPort"]) for entry in mappings} == {
        (30000, 3000), (30009, 9009), (30100, 3100), (30200, 3200), (30317, 4317), (30318, 4318)
    }  # fmt: skip
    assert all(node["labels"] == {NODE_LABEL: "abc"} and node["image"] == NODE_IMAGE for node in config["nodes"])
    assert "@sha256:" in NODE_IMAGE


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ((0, 20, 0), (1, 27)),
        ((0, 27, 0), (1, 32)),
        ((0, 31, 0), (1, 35)),
        ((0, 32, 0), (1, 36)),
        ((0, 33, 0), (1, 37)),
        ((1, 0, 0), (1, 37)),
        ((), (1, 37)),
    ],
)
def test_a_kind_makes_nodes_that_it_can_configure(kind: tuple[int, ...], version: tuple[int, int]) -> None:
    image = default_node_image(kind)
    assert image_version(image) == version
    assert "@sha256:" in image


@pytest.mark.parametrize(
    ("image", "version", "refuses"),
    [
        (NODE_IMAGE, (1, 37), True),
        ("kindest/node:v1.34.0", (1, 34), False),
        ("kindest/node:lab-v1.20.2", (1, 20), False),
        ("mirror:5000/kindest/node:v1.35.1@sha256:00", (1, 35), True),
        ("kindest/node:latest", None, False),
        ("own/node", None, False),
    ],
)
def test_whether_a_node_image_takes_cgroup_v1_is_read_from_its_name(
    image: str, version: tuple[int, int] | None, *, refuses: bool
) -> None:
    assert image_version(image) == version
    assert needs_cgroup_v2(image) is refuses


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


def test_kinds_failures_are_told_by_their_cause_and_by_the_engines_before() -> None:
    failed = InstallError("command-failed", "it failed")
    exists = kind_failure(failed, ['node(s) already exist for a cluster with the name "demo"'], {})
    assert (exists.code, exists.retryable) == ("node-exists", True)
    said = ["ERROR: failed to create cluster", "Cannot connect to the Docker daemon at unix:///d.sock"]
    down = kind_failure(failed, said, {"start": "start it"})
    assert (down.code, down.hint, down.retryable) == ("engine-down", "start it", False)


def test_an_unknown_failure_stays_what_it_is() -> None:
    error = InstallError("command-failed", "it failed", "all that it said")
    assert kind_failure(error, ["something new"], {}) is error


@pytest.mark.parametrize(
    ("error", "code"), [("", "engine-error"), ("command-timeout", "engine-down"), ("command-missing", "engine-missing")]
)
def test_an_engine_that_does_not_answer_is_told_by_how_it_failed(error: str, code: str) -> None:
    assert engine_failure(["something new"], {"engine": "docker", "start": "s"}, error).finding.code == code


def test_images_that_every_node_has_need_no_loading() -> None:
    images = Images(None, "demo", may_pull=False)  # type: ignore[arg-type]
    has = {"status": {"images": [{"names": ["docker.io/grafana/loki:3", "docker.io/library/b:1"]}]}}
    assert images.lacking(["grafana/loki:3", "b:1", "ghcr.io/c:1"], [has]) == ["ghcr.io/c:1"]
    assert images.lacking(["grafana/loki:3"], [has, {"status": {}}]) == ["grafana/loki:3"]
    assert images.lacking(["b:1"], []) == ["b:1"]


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({}, []),
        ({"workers": 0, "node_image": "image"}, []),
        ({"workers": 2}, ["workers-fixed"]),
        ({"node_image": "another"}, ["node-image-fixed"]),
        ({"workers": 1, "node_image": "another"}, ["workers-fixed", "node-image-fixed"]),
    ],
)
def test_what_counts_only_when_a_cluster_is_made_is_said_and_stops_nothing(
    options: dict[str, Any], codes: list[str]
) -> None:
    found = differing_options("demo", [NODE], options)
    assert [finding.code for finding in found] == codes
    assert all(finding.warning for finding in found)


@pytest.mark.parametrize("waiting", [False, True])
def test_a_cordon_counts_where_a_pod_has_no_other_place(*, waiting: bool) -> None:
    (found,) = report_of("demo", replace(SNAPSHOT, members=(CORDONED,), waiting=waiting), PORTS).findings
    assert found.remedy is not None
    assert (found.warning, found.remedy.automatic) == (not waiting, waiting)


def test_a_cluster_has_come_back_when_nodes_and_their_manager_have_told_of_themselves_since() -> None:
    node = replace(NODE, created="2026-01-01T09:00:00Z", started="2026-01-01T10:00:00.5Z")
    before, after = "2026-01-01T09:59:59.000000Z", "2026-01-01T10:00:09.000000Z"
    for told, back in (
        ({}, False),
        ({NODE.name: before, MANAGER: after}, False),
        ({NODE.name: after, MANAGER: before}, False),
        ({NODE.name: after, MANAGER: after}, True),
        ({NODE.name: after}, True),  # one that keeps its lock elsewhere cannot be asked
    ):
        assert has_come_back([node], partial(dict, told)) is back
    at_its_first_start = replace(node, created="2026-01-01T09:59:58Z")
    assert has_come_back([at_its_first_start], dict), "what it says, it has said since"


@pytest.mark.parametrize(("created", "started", "lately"), [(0, 5, False), (-3600, 5, True), (-3600, -600, False)])
def test_a_node_has_come_back_lately_where_it_was_started_again(created: int, started: int, lately: bool) -> None:
    now = BEGAN + 60
    node = replace(NODE, created=_told(BEGAN + created), started=_told(BEGAN + started))
    assert node.was_restarted_recently(now) is lately


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@pytest.mark.parametrize("name", ["id", "cluster", "began", "ports", "nodes", "complete"])
def test_a_note_that_lacks_what_every_note_has_is_none(tmp_path: Path, name: str) -> None:
    file = OwnerFile(tmp_path / "owner.json", "demo")
    file.finish(file.begin([3000], "docker"), [NODE])
    document = json.loads((tmp_path / "owner.json").read_text())
    del document[name]
    (tmp_path / "owner.json").write_text(json.dumps(document))
    assert file.read() is None
