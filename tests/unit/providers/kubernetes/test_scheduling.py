"""Pods without a node: the node that they need is named, with what of it keeps them away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.providers.kubernetes.blocked_pods import scheduling_facts
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from contextcore_install.providers.kubernetes.pods import Pod
from kit.kube_world import Cluster

GPU = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
BARE = {"key": "broken", "effect": "NoExecute"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
PREFERRED = {"key": "dedicated", "value": "gpu", "effect": "PreferNoSchedule"}
MASTER = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}


def node(name: str, *taints: dict[str, str], cordoned: bool = False) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/master": ""} if MASTER in taints else {}
    spec = {"taints": list(taints), "unschedulable": cordoned}
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def pod(*tolerations: dict[str, str], claim: str = "data-loki-0") -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}, {"name": "tmp", "emptyDir": {}}]
    spec = {"volumes": volumes, "tolerations": list(tolerations)}
    return {"kind": "Pod", "metadata": {"name": "loki-0", "namespace": "obs"}, "spec": spec}


def claim(where: str, *, bound: bool = True) -> dict[str, Any]:
    notes = {"volume.kubernetes.io/selected-node": where}
    metadata = {"name": "data-loki-0", "namespace": "obs", "annotations": notes}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {"volumeName": "pvc-1" if bound else ""}}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def facts(cluster: Cluster, *objects: dict[str, Any]) -> dict[str, str]:
    found = next(item for item in objects if item["kind"] == "Pod")
    return scheduling_facts(Reader(cluster.kubectl, lambda: Release(())), Pod(Manifest(found)), Snapshot(objects))


def test_the_taint_of_the_node_with_the_volume_is_named_with_what_takes_it_away(cluster: Cluster) -> None:
    nodes = node("main", MASTER), node("a", GPU), node("b")
    told = facts(cluster, *nodes, pod(), claim("a"))
    assert (told["tainted"], told["taint"]) == ("a", "dedicated=gpu:NoSchedule")
    assert told["untaint"] == "kubectl --context lab taint nodes a dedicated=gpu:NoSchedule-"


def test_a_pod_that_needs_no_certain_node_is_kept_away_only_if_all_are_tainted(cluster: Cluster) -> None:
    assert facts(cluster, node("main", MASTER), node("a", GPU), node("b"), pod())["untaint"] == ""
    told = facts(cluster, node("main", MASTER), node("a", GPU), node("b", GPU), node("c", BARE), pod())
    assert told["tainted"] == "a, b, c"
    assert told["untaint"] == (
        "kubectl --context lab taint nodes a b dedicated=gpu:NoSchedule-; "
        "kubectl --context lab taint nodes c broken:NoExecute-"
    )


@pytest.mark.parametrize(
    ("taint", "tolerations"),
    [
        (GPU, [{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]),
        (GPU, [{"key": "dedicated", "value": "gpu"}]),
        (GPU, [{"key": "dedicated", "operator": "Exists"}]),
        (GPU, [{"operator": "Exists"}]),
        (NOT_READY, []),
        (PREFERRED, []),
    ],
)
def test_what_is_tolerated_passes_by_itself_or_only_discourages_is_not_in_the_way(
    cluster: Cluster, taint: dict[str, str], tolerations: list[dict[str, str]]
) -> None:
    assert facts(cluster, node("a", taint), pod(*tolerations), claim("a"))["untaint"] == ""


def test_a_toleration_of_something_else_helps_nothing(cluster: Cluster) -> None:
    others = {"key": "dedicated", "value": "db"}, {"key": "x", "operator": "Exists"}
    assert facts(cluster, node("a", GPU), pod(*others), claim("a"))["untaint"] != ""


def test_a_volume_on_a_node_that_is_gone_is_told_by_its_name(cluster: Cluster) -> None:
    assert facts(cluster, node("b"), pod(), claim("a"))["gone"] == "a"
    assert facts(cluster, node("b"), pod(), claim("a", bound=False))["gone"] == ""


def test_in_somebody_elses_cluster_nodes_are_asked_for_and_a_closed_one_is_named(cluster: Cluster) -> None:
    cluster.put([node("a", cordoned=True), node("b")])
    told = facts(cluster, pod(), claim("a"))
    assert (told["cordoned"], told["uncordon"]) == ("a", "kubectl --context lab uncordon a")
    assert facts(cluster, node("a", cordoned=True), pod(), claim("a"))["cordoned"] == ""


def test_who_may_not_read_nodes_learns_nothing_and_nothing_fails(cluster: Cluster) -> None:
    cluster.fails(("get nodes", 'Error from server (Forbidden): User "me" cannot list resource "nodes"'))
    assert set(facts(cluster, pod(), claim("a")).values()) == {""}
