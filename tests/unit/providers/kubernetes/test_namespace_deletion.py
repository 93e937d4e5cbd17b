"""A namespace that is being deleted is waited for, and what holds it is told as soon as that is clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.release import DELETE_WITHIN_S, LOOK_EVERY_S, wait_until_gone
from kit.fakes import Told
from kit.kube_world import Cluster

NOT_YET = ("wait", "error: timed out waiting for the condition on namespaces/obs")
LOOKS = round(DELETE_WITHIN_S / LOOK_EVERY_S)


def going(finalizers: str) -> dict[str, Any]:
    """A namespace on its way, as Kubernetes shows it."""
    said = f"Some content in the namespace has finalizers remaining: {finalizers}"
    remaining = {"type": "NamespaceFinalizersRemaining", "status": "True", "reason": "SomeFinalizersRemain"}
    known = {
        "type": "NamespaceDeletionDiscoveryFailure",
        "status": "False",
        "reason": "ResourcesDiscovered",
        "message": "example.com/discovered in 1 resource instances",
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "obs", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [known, {**remaining, "message": said}]},
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def waits(cluster: Cluster) -> int:
    return sum("wait --for=delete namespace/obs" in call for call in cluster.calls)


def test_a_namespace_that_goes_is_waited_for(cluster: Cluster) -> None:
    cluster.put([going("example.com/slow in 1 resource instances")])
    cluster.fails(NOT_YET)
    wait_until_gone(cluster.kubectl, "obs", Told(limit_s=600).ctx)
    assert waits(cluster) == 2


def test_finalizers_of_somebody_elses_that_stay_are_told_at_the_second_look(cluster: Cluster) -> None:
    cluster.put([going("example.com/hold in 1 resource instances")])
    cluster.fails(*[NOT_YET] * LOOKS)
    with pytest.raises(InstallError) as caught:
        wait_until_gone(cluster.kubectl, "obs", Told(limit_s=600).ctx)
    assert waits(cluster) == 2
    assert caught.value.code == "namespace-terminating"
    assert caught.value.message == (
        "The namespace obs is being deleted and does not go: objects in it are held by example.com/hold."
    )
    assert "finalizers remaining: example.com/hold" in caught.value.evidence
    assert caught.value.hint == "kubectl --context lab get namespace obs -o yaml"


def test_what_kubernetes_itself_takes_away_has_all_the_time(cluster: Cluster) -> None:
    cluster.put([going("kubernetes.io/pvc-protection in 4 resource instances")])
    cluster.fails(*[NOT_YET] * LOOKS)
    with pytest.raises(InstallError) as caught:
        wait_until_gone(cluster.kubectl, "obs", Told(limit_s=600).ctx)
    assert waits(cluster) == LOOKS
    assert "kubernetes.io/pvc-protection" in caught.value.message
