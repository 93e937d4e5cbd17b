"""What workloads keep their data in, and how far Services reach, as the cluster tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.requirements import DataPiece, Storage
from contextcore_install.providers.kubernetes.claims import storage
from contextcore_install.providers.kubernetes.client import Snapshot
from contextcore_install.providers.kubernetes.objects import Release
from kit.kube_world import Cluster, in_context

Volumes = list[dict[str, Any]]


def workload(
    *templates: str, replicas: int = 1, volumes: Volumes | None = None, mounts: dict[str, str] | None = None
) -> dict[str, Any]:
    mounted = [{"name": name, "mountPath": path} for name, path in (mounts or {}).items()]
    pod = {"volumes": volumes or [], "containers": [{"name": "loki", "volumeMounts": mounted}]}
    claims = [{"metadata": {"name": name}} for name in templates]
    spec = {"replicas": replicas, "template": {"spec": pod}, "volumeClaimTemplates": claims}
    return {"kind": "StatefulSet", "metadata": {"name": "loki", "namespace": "obs"}, "spec": spec}


MADE = "2026-01-01T12:00:00Z"


def claim(name: str, phase: str = "Bound") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "obs", "uid": f"uid of {name}", "creationTimestamp": MADE}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "status": {"phase": phase}}


def stored(live: dict[str, Any], *others: dict[str, Any]) -> Storage:
    [found] = storage(Release((live,)), Snapshot([live, *others]))
    return found


def test_claims_that_are_bound_keep_data() -> None:
    found = stored(workload("data", replicas=2), claim("data-loki-0"), claim("data-loki-1"))
    names = ("data-loki-0", "data-loki-1")
    assert found == Storage(
        "loki",
        "data-loki-0, data-loki-1",
        "data-loki-0 is Bound, data-loki-1 is Bound",
        pieces=tuple(DataPiece(name, f"uid of {name}", MADE) for name in names),
    )
    named = [{"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}]
    assert stored(workload(volumes=named), claim("mine")).finding is None


@pytest.mark.parametrize("others", [[], [claim("data-loki-0", "Pending")], [claim("data-loki-0", "Lost")]])
def test_a_claim_that_is_not_bound_keeps_nothing(others: list[dict[str, Any]]) -> None:
    found = stored(workload("data"), *others)
    assert found.finding is not None
    assert found.finding.code == "claim-unbound"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/loki", True),
        ("/var/lib/loki/", True),
        ("/tmpfiles", True),
        ("/tmp", False),
        ("/tmp/cache", False),
        ("/var/cache/nginx", False),
    ],
)
def test_an_empty_dir_is_for_scratch_and_not_for_data(path: str, kept: bool) -> None:
    found = stored(workload(volumes=[{"name": "data", "emptyDir": {}}], mounts={"data": path}))
    assert (found.finding is not None) is kept


@pytest.mark.parametrize(("volume", "warning"), [("extra", True), ("data", False)])
def test_an_empty_dir_beside_a_claim_is_a_warning_and_one_in_its_place_is_not(volume: str, warning: bool) -> None:
    volumes: Volumes = [{"name": volume, "emptyDir": {}}]
    found = stored(workload("data", volumes=volumes, mounts={volume: "/loki"}), claim("data-loki-0"))
    assert found.finding is not None
    assert found.finding.warning is warning


def test_what_keeps_nothing_and_what_is_not_there_is_told_as_that() -> None:
    assert stored(workload()) == Storage("loki", "", "it mounts nothing to keep data in")
    assert not list(storage(Release((workload("data"),)), Snapshot([])))


@pytest.mark.parametrize(
    ("spec", "is_open", "place"),
    [
        ({}, False, "inside the cluster"),
        ({"type": "ClusterIP"}, False, "inside the cluster"),
        ({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30100}]}, True, "every node, port 30100"),
        ({"type": "LoadBalancer"}, True, "a load balancer"),
        ({"type": "ClusterIP", "externalIPs": ["10.0.0.1"]}, True, "a load balancer"),
    ],
)
def test_a_service_reaches_as_far_as_it_is_made_to(
    tmp_path: Path, spec: dict[str, Any], is_open: bool, place: str
) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "loki", "namespace": "obs"}, "spec": spec}
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service])
    [found] = in_context(tmp_path, cluster, [service]).listeners()
    assert (found.owner, found.place, found.is_open) == ("Service/loki", place, is_open)
