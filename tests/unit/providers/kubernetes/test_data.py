"""The ways to a claim's files: who stands still for a copy, which node has it, and the pod that takes it elsewhere."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Volume
from contextcore_install.providers.kind.provider import node_of_volume
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.data import (
    _PACK,
    _UNPACK,
    Claim,
    ClaimData,
    ClaimPlace,
    _paused,
    copy_pod,
)
from contextcore_install.providers.kubernetes.objects import RELEASE_LABEL, Key, Manifest, Release
from kit.fakes import Told
from kit.kube_world import Cluster

WORKLOAD = Manifest(
    kind="StatefulSet",
    metadata={"name": "mimir"},
    spec={"template": {"spec": {"securityContext": {"runAsUser": 10001}}}},
)
POD = Manifest(metadata={"name": "mimir-0", "uid": "1a-2b"})
CLAIM = Claim(Key("PersistentVolumeClaim", "obs", "data-mimir-0"), Manifest(), WORKLOAD, (POD,))


def test_the_processes_of_the_claims_pods_stand_still_and_go_on() -> None:
    script = _paused("copy", CLAIM)
    assert "pod(1a[-_]2b)" in script  # as cgroupfs and as systemd write it
    assert script.index("-STOP") < script.index("copy") < script.index("-CONT")
    assert _paused("copy", Claim(CLAIM.key, Manifest(), WORKLOAD)) == "copy"


def test_a_volume_is_on_the_node_that_it_is_pinned_to() -> None:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["dev-worker"]}
    terms = [{"matchExpressions": [expression]}]
    assert node_of_volume({"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}) == "dev-worker"
    assert not node_of_volume({})


def test_the_pod_that_copies_is_the_workloads_user_and_can_be_pruned() -> None:
    pod = copy_pod(CLAIM, "mirror/grafana:1", "dev")
    assert pod["metadata"]["labels"][RELEASE_LABEL] == "dev"
    assert pod["spec"]["securityContext"] == {"runAsUser": 10001}
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data-mimir-0"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert len(pod["metadata"]["name"]) <= 63


def test_a_folder_is_packed_and_its_copy_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("kept")
    packed = subprocess.run(["sh", "-c", _PACK, "sh", str(tmp_path / "from")], capture_output=True, check=True).stdout
    place = tmp_path / "a place"
    (place / "folder").mkdir(parents=True)
    for name in (".hidden", "..odd", "file", "-rf"):
        (place / name).write_text("old")
    subprocess.run(["sh", "-c", _UNPACK, "sh", str(place)], input=packed, check=True)
    assert {path.name: path.read_text() for path in place.iterdir()} == {"file": "kept"}


@pytest.mark.parametrize("nodes_start", [False, True])
def test_a_claim_that_was_just_made_is_filled_once_it_has_its_volume(tmp_path: Path, *, nodes_start: bool) -> None:
    cluster, filled = Cluster(tmp_path / "cluster"), []
    workload = {**WORKLOAD, "metadata": {"name": "mimir", "namespace": "obs"}}
    labels = {RELEASE_LABEL: "dev"}
    claim: dict[str, Any] = {"name": "data-mimir-0", "namespace": "obs", "labels": labels}
    item = {"kind": "PersistentVolumeClaim", "metadata": claim, "spec": {}}
    cluster.put([item])

    @contextmanager
    def reach(found: Claim, _: StepContext) -> Iterator[ClaimPlace]:
        filled.append(found.item["spec"])
        yield ClaimPlace(("true",), "/")

    reader = Reader(cluster.kubectl, lambda: Release((workload,)))
    bound = {**item, "spec": {"volumeName": "pv-1"}}
    binding = threading.Timer(0.5, cluster.put, [[bound]])
    ready: Callable[[object], None] = (lambda _: binding.start()) if nodes_start else (lambda _: None)
    if not nodes_start:
        binding.start()
    claims = ClaimData(reader, "dev", reach, outlives_cluster=False, await_nodes=ready)
    with (tmp_path / "copy").open("w+b") as copy:
        claims.fill(Volume("data-mimir-0", "mimir", ""), copy, Told().ctx)
    binding.join()
    assert filled == [{"volumeName": "pv-1"}]
