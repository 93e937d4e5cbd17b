"""What a cluster itself lacks is seen, with the command that brings it back: kube-proxy and DNS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Probe
from contextcore_install.providers.kubernetes.requirements import ClusterSystem
from kit.kube_world import Cluster

PROXY, DNS = "kube_proxy", "cluster_dns"
KUBECTL = "kubectl --context lab -n kube-system "


def kubeadm(addon: str) -> str:
    return f"docker exec demo-control-plane kubeadm init phase addon {addon} --config /kind/kubeadm.conf"


def proxy(ready: int, wanted: int = 3) -> dict[str, Any]:
    status = {"numberReady": ready, "desiredNumberScheduled": wanted}
    return {"kind": "DaemonSet", "metadata": {"name": "kube-proxy", "namespace": "kube-system"}, "status": status}


def dns(replicas: int) -> dict[str, Any]:
    metadata = {"name": "coredns", "namespace": "kube-system"}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}


def endpoints(*addresses: str) -> dict[str, Any]:
    subsets = [{"addresses": [{"ip": address} for address in addresses]}] if addresses else []
    return {"kind": "Endpoints", "metadata": {"name": "kube-dns", "namespace": "kube-system"}, "subsets": subsets}


HEALTHY = [proxy(3), dns(2), endpoints("10.244.0.3", "10.244.0.4")]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def looked_at(cluster: Cluster, *objects: dict[str, Any], running: bool = True) -> dict[str, Probe]:
    def require() -> None:
        if not running:
            raise InstallError("cluster-not-running", "The cluster demo does not run.")

    cluster.put(list(objects))
    system = ClusterSystem(cluster.kubectl, require, lambda: "docker exec demo-control-plane kubeadm")
    return {each.id: each.probe() for each in system.requirements()}


def test_a_healthy_cluster_has_both(cluster: Cluster) -> None:
    found = looked_at(cluster, *HEALTHY)
    assert [probe.findings for probe in found.values()] == [(), ()]
    assert found[PROXY].evidence == "kube-proxy is ready on 3 of 3 nodes"
    assert len(cluster.calls) == 1, "one read tells of both"


@pytest.mark.parametrize(
    ("objects", "requirement", "code", "command"),
    [
        (HEALTHY[1:], PROXY, "kube-proxy-down", kubeadm("kube-proxy")),
        ([proxy(2), *HEALTHY[1:]], PROXY, "kube-proxy-down", KUBECTL + "rollout restart daemonset/kube-proxy"),
        ([proxy(3)], DNS, "cluster-dns-down", kubeadm("coredns")),
        ([proxy(3), dns(0)], DNS, "cluster-dns-down", KUBECTL + "scale deployment coredns --replicas=2"),
        ([proxy(3), dns(2), endpoints()], DNS, "cluster-dns-down", KUBECTL + "rollout restart deployment/coredns"),
    ],
)
def test_what_is_gone_or_down_is_told_with_what_brings_it_back(
    cluster: Cluster, objects: list[dict[str, Any]], requirement: str, code: str, command: str
) -> None:
    found = looked_at(cluster, *objects)
    (finding,) = found.pop(requirement).findings
    assert finding.code == code
    assert finding.remedy is not None
    assert finding.remedy.command == command
    assert [probe.findings for probe in found.values()] == [()]


def test_a_cluster_that_does_not_run_or_may_not_be_read_is_not_blamed(cluster: Cluster) -> None:
    assert {probe.skipped for probe in looked_at(cluster, *HEALTHY, running=False).values()} == {True}
    refused = 'Error from server (Forbidden): daemonsets.apps is forbidden: User "me" cannot list resource "daemonsets"'
    cluster.fails(("get daemonsets", refused))
    assert looked_at(cluster, *HEALTHY)[PROXY].skipped
