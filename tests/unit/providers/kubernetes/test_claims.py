"""Claims that are older than their storage class: made anew where they never held anything, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.claims import made_too_early, pods_using, remove_empty
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from kit.fakes import Told
from kit.kube_world import Cluster


def storage_class(name: str, *, default: bool = True) -> dict[str, Any]:
    notes = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return {"kind": "StorageClass", "metadata": {"name": name, "annotations": notes}}


def claim(phase: str = "Pending", *, going: bool = False, **spec: str) -> Manifest:
    metadata = {"name": "data-loki-0", "namespace": "obs", "uid": "c1", "resourceVersion": "7"}
    metadata |= {"deletionTimestamp": "2026-01-01T10:00:00Z"} if going else {}
    return Manifest(kind="PersistentVolumeClaim", metadata=metadata, spec=spec, status={"phase": phase})


def release(**template: str) -> Release:
    spec = {"replicas": 1, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": template}]}
    return Release(({"kind": "StatefulSet", "metadata": {"name": "loki", "namespace": "obs"}, "spec": spec},), "obs")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def early(cluster: Cluster, item: dict[str, Any], **template: str) -> list[str]:
    found = made_too_early(Reader(cluster.kubectl, lambda: release(**template)), Snapshot([item]))
    return [default for _, default in found]


def test_a_claim_without_a_volume_that_is_older_than_the_default_class_is_made_anew(cluster: Cluster) -> None:
    cluster.put([storage_class("slow", default=False), storage_class("standard")])
    assert early(cluster, claim()) == ["standard"]
    assert early(cluster, claim(storageClassName="gone")) == ["standard"]


@pytest.mark.parametrize(
    "item",
    [
        claim("Bound", volumeName="pvc-1"),
        claim("Lost", volumeName="pvc-1"),
        claim(volumeName="pvc-1"),
        claim(going=True),
        claim(storageClassName=""),
        claim(storageClassName="standard"),
    ],
)
def test_a_claim_that_may_hold_something_or_is_as_it_should_be_is_left(cluster: Cluster, item: dict[str, Any]) -> None:
    cluster.put([storage_class("standard")])
    assert early(cluster, item) == []


def test_a_claim_whose_class_the_manifests_name_would_be_no_other_if_it_were_made_anew(cluster: Cluster) -> None:
    cluster.put([storage_class("standard")])
    assert early(cluster, claim(storageClassName="fast"), storageClassName="fast") == []


def test_without_a_default_class_or_the_right_to_read_any_nothing_is_made_anew(cluster: Cluster) -> None:
    cluster.put([storage_class("slow", default=False)])
    assert early(cluster, claim()) == []
    cluster.fails(("get storageclasses", "Error from server (Forbidden): cannot list"))
    assert early(cluster, claim()) == []


def test_a_claim_is_deleted_as_it_was_seen_so_that_one_bound_meanwhile_stays(cluster: Cluster) -> None:
    remove_empty(cluster.kubectl, claim(), Told().ctx)
    deleted, waited = cluster.requests
    assert deleted[0].startswith("delete --raw /api/v1/namespaces/obs/persistentvolumeclaims/data-loki-0")
    assert '"preconditions": {"uid": "c1", "resourceVersion": "7"}' in deleted[1]
    assert waited[0].startswith("wait --for=delete pvc/data-loki-0")
    cluster.fails(("delete --raw", "Error from server (Conflict): the ResourceVersion in the precondition (7)"))
    with pytest.raises(InstallError):
        remove_empty(cluster.kubectl, claim(), Told().ctx)


def test_the_pods_of_a_claim_are_those_that_mount_it() -> None:
    def pod(name: str, used: str, namespace: str = "obs") -> Manifest:
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": used}}]
        return Manifest(kind="Pod", metadata={"name": name, "namespace": namespace}, spec={"volumes": volumes})

    pods = [pod("loki-0", "data-loki-0"), pod("mimir-0", "data-mimir-0"), pod("loki-0", "data-loki-0", "other")]
    assert list(pods_using(Snapshot(pods), claim().key)) == pods[:1]
