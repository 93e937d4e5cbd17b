"""Pods whose images have arrived are started anew, whatever keeps others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.objects import Release
from contextcore_install.providers.kubernetes.pods import Restarter
from kit.fakes import Told
from kit.kube_world import Cluster

REFUSED = InstallError("image-unavailable", "There is no image grafana/loki:9.", retryable=True)
READY = {"kind": "Node", "metadata": {"name": "one"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def workload(name: str) -> dict[str, Any]:
    return {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": "obs"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
    }


def stuck(name: str, image: str) -> dict[str, Any]:
    """A pod that waits for its image."""
    waits = {"waiting": {"reason": "ImagePullBackOff"}}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": f"{name}-0", "namespace": "obs", "uid": f"u-{name}", "labels": {"app": name}},
        "spec": {"nodeName": "one", "containers": [{"name": name, "image": image}]},
        "status": {"phase": "Pending", "containerStatuses": [{"name": name, "image": image, "state": waits}]},
    }


def deleted(cluster: Cluster) -> list[str]:
    return [call.split()[2] for call in cluster.calls if call.startswith("delete")]


def restarter(cluster: Cluster, refused: Mapping[str, InstallError]) -> Restarter:
    def get_images(_: Sequence[str], __: StepContext) -> Mapping[str, InstallError]:
        return refused

    release = Release((workload("loki"), workload("mimir")), "obs")
    return Restarter(Reader(cluster.kubectl, lambda: release), get_images)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster(tmp_path / "cluster")
    pods = [stuck("loki", "grafana/loki:9"), stuck("mimir", "grafana/mimir:3")]
    made.put([READY, workload("loki"), workload("mimir"), *pods])
    return made


def test_an_image_that_cannot_be_had_keeps_no_pod_that_lacks_another(cluster: Cluster) -> None:
    with pytest.raises(InstallError) as caught:
        restarter(cluster, {"grafana/loki:9": REFUSED}).restart(Told().ctx)
    assert (caught.value.code, caught.value.retryable) == ("image-unavailable", False)
    assert deleted(cluster) == ["/api/v1/namespaces/obs/pods/mimir-0"]


def test_pods_whose_images_arrived_go_at_once(cluster: Cluster) -> None:
    restarter(cluster, {}).restart(Told().ctx)
    assert deleted(cluster) == [f"/api/v1/namespaces/obs/pods/{name}-0" for name in ("loki", "mimir")]


def test_pods_on_a_node_that_is_not_ready_get_their_grace_period(cluster: Cluster) -> None:
    cluster.put([item for item in cluster.objects if item["kind"] != "Node"])
    restarter(cluster, {}).restart(Told().ctx)
    assert deleted(cluster) == ["loki-0", "mimir-0"]
