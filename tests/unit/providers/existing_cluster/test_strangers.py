"""A place in a cluster that is another's: no way is opened to its services, and nothing of it is taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.providers.existing_cluster.provider import KubeContextProvider
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER, FINGERPRINT, NAMESPACE, RELEASE_LABEL
from contextcore_install.providers.kubernetes.release import GRAFANA_ADMIN
from kit.fakes import Told
from kit.kube_world import Cluster, in_context


def provider(folder: Path, cluster: Cluster, *more: dict[str, Any]) -> KubeContextProvider:
    """Return a provider whose release is a Service and what is asked for besides."""
    return in_context(folder, cluster, [service("dev"), *more])


def service(release: str) -> dict[str, Any]:
    labels = {RELEASE_LABEL: release}
    meta = {"name": "mimir", "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 9009}]}}


def test_the_services_of_another_installation_are_not_reached(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service("theirs")])
    found = provider(tmp_path, cluster).endpoints()
    assert [item.component for item in found] == ["mimir"]
    assert not found[0].is_reachable
    assert "the installation theirs" in found[0].stranger
    assert not any(call.startswith("port-forward") for call in cluster.calls)


def test_the_services_of_ours_are_asked_for_a_way(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service("dev")])
    found = provider(tmp_path, cluster).endpoints()
    assert [item.stranger for item in found] == [""]
    assert any(call.startswith("port-forward") for call in cluster.calls)


def unlabelled(name: str = "mimir") -> dict[str, Any]:
    item = service("")
    item["metadata"] = {"name": name, "namespace": NAMESPACE}
    return item


NAMESPACE_OF_USERS = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def test_objects_that_this_program_did_not_make_are_named_and_left_alone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([NAMESPACE_OF_USERS, unlabelled()])
    place = provider(tmp_path, cluster)
    assert place.cluster().state is ClusterState.FOREIGN
    assert "Service/mimir" in place.endpoints()[0].stranger
    for refused in (place.create_cluster, place.apply_release):
        with pytest.raises(InstallError, match="Service/mimir") as caught:
            refused(Told().ctx)
        assert caught.value.code == "cluster-foreign"
        assert f"-n {NAMESPACE} delete service/mimir" in caught.value.hint
    assert unlabelled() in cluster.objects


@pytest.mark.parametrize(
    "sign",
    [
        {"annotations": {FINGERPRINT: "1"}},
        {"managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]},
        {"labels": {RELEASE_LABEL: "dev"}},
    ],
)
def test_ours_is_known_by_any_sign_that_is_left_of_it(tmp_path: Path, sign: dict[str, Any]) -> None:
    cluster = Cluster(tmp_path / "lab")
    item = unlabelled()
    item["metadata"] |= sign
    cluster.put([NAMESPACE_OF_USERS, item])
    place = provider(tmp_path, cluster)
    assert place.cluster().state is ClusterState.HEALTHY
    place.apply_release(Told().ctx)
    assert not place.drift()


def test_what_may_be_there_before_a_release_is_nobodys(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    account = {**unlabelled("default"), "kind": "ServiceAccount", "spec": {}}
    claim = {**unlabelled("data"), "kind": "PersistentVolumeClaim", "spec": {}}
    cluster.put([NAMESPACE_OF_USERS, account, claim])
    place = provider(tmp_path, cluster, account, claim)
    assert place.cluster().state is ClusterState.HEALTHY


def test_in_a_place_of_ours_somebodys_object_is_neither_taken_over_nor_a_reason_to_hide_the_rest(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service("dev"), unlabelled("loki")])
    place = provider(tmp_path, cluster, unlabelled("loki"))
    assert place.cluster().state is ClusterState.HEALTHY
    for refused in (place.drift, lambda: place.apply_release(Told().ctx)):
        with pytest.raises(InstallError, match="Service/loki"):
            refused()
    place.remove_cluster(Told().ctx)
    assert cluster.objects == [unlabelled("loki")]


def test_the_data_that_another_installation_left_is_neither_used_nor_removed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    theirs = {"name": GRAFANA_ADMIN, "namespace": NAMESPACE, "labels": {RELEASE_LABEL: "theirs"}}
    cluster.put([{"apiVersion": "v1", "kind": "Secret", "metadata": theirs}])
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": GRAFANA_ADMIN, "key": "admin-password"}}}]
    pods = {"spec": {"containers": [{"name": "grafana", "image": "grafana", "env": env}]}}
    grafana = {**unlabelled("grafana"), "kind": "StatefulSet", "spec": {"template": pods}}
    place = provider(tmp_path, cluster, grafana)
    assert place.cluster().state is ClusterState.FOREIGN
    for refused in (place.create_cluster, place.remove_cluster):
        with pytest.raises(InstallError) as caught:
            refused(Told().ctx)
        assert caught.value.code == "cluster-foreign"
        assert "--cluster theirs" in caught.value.hint
