"""A release in a cluster: compared in one read, applied where it differs, pruned without touching data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.objects import FINGERPRINT, RELEASE_LABEL, Release, fingerprint
from contextcore_install.providers.kubernetes.release import Applier, drift
from kit.fakes import Told
from kit.kube_world import Cluster


def thing(kind: str, name: str, spec: dict[str, Any] | None = None, namespace: str = "obs") -> dict[str, Any]:
    """An object as it is rendered."""
    metadata: dict[str, Any] = {"name": name, "labels": {RELEASE_LABEL: "demo"}}
    if kind != "Namespace":
        metadata["namespace"] = namespace
    version = "apps/v1" if kind == "StatefulSet" else "v1"
    item = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec or {}}
    metadata["annotations"] = {FINGERPRINT: fingerprint(item)}
    return item


def workload(secret: str = "grafana-admin") -> dict[str, Any]:
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": secret, "key": "admin-password"}}}]
    pod = {"containers": [{"name": "g", "image": "g:1", "env": env}]}
    return thing("StatefulSet", "grafana", {"serviceName": "grafana", "template": {"spec": pod}})


RELEASE = Release((thing("Namespace", "obs"), thing("Service", "grafana", {"type": "NodePort"}), workload()), "obs")


class World:
    """A release and a cluster to have it in."""

    def __init__(self, folder: Path, release: Release = RELEASE) -> None:
        self.cluster = Cluster(folder)
        self.release = release
        self.reader = Reader(self.cluster.kubectl, lambda: self.release)
        self.applier = Applier(self.reader, "demo")

    def apply(self, release: Release, ctx: StepContext, without: Collection[str] = ()) -> None:
        self.applier.apply(release, self.reader.read(fresh=True), ctx, without)

    def drift(self) -> dict[str, str]:
        found = drift(self.release, self.reader.read(fresh=True), "demo")
        return {item.name: item.change for item in found}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cluster")


def test_what_is_missing_is_applied_and_then_nothing_differs(world: World) -> None:
    assert world.drift() == {
        "Namespace/obs": "missing",
        "Service/grafana": "missing",
        "StatefulSet/grafana": "missing",
        "Secret/grafana-admin": "missing",
    }
    world.apply(RELEASE, Told().ctx)
    assert world.drift() == {}
    applies = [call for call in world.cluster.calls if call.startswith("apply")]
    assert all("--server-side --force-conflicts --field-manager=contextcore-install" in call for call in applies)


def test_what_needs_an_image_that_is_on_its_way_is_left_out_if_it_is_new(world: World) -> None:
    told = Told()
    world.apply(RELEASE, told.ctx, {"g:1"})
    assert world.drift() == {"StatefulSet/grafana": "missing"}
    world.apply(RELEASE, told.ctx, {"another:1"})
    assert world.drift() == {}
    objects = world.cluster.objects
    next(item for item in objects if item["kind"] == "StatefulSet")["metadata"]["annotations"].clear()
    world.cluster.put(objects)
    world.apply(RELEASE, told.ctx, {"g:1"})
    assert world.drift() == {}, "what runs already is put right whatever is on its way"
    objects = world.cluster.objects
    pod_of(objects)["containers"][0]["image"] = "g:0"
    world.cluster.put(objects)
    world.apply(RELEASE, told.ctx, {"g:1"})
    assert pod_of(world.cluster.objects)["containers"][0]["image"] == "g:0", "it runs until its new image is there"


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    spec = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    return cast("dict[str, Any]", spec)


def test_comparing_takes_one_read(world: World) -> None:
    world.apply(RELEASE, Told().ctx)
    world.cluster.forget_calls()
    assert world.drift() == {}
    assert len(world.cluster.calls) == 1
    world.reader.read()
    assert len(world.cluster.calls) == 1, "a second check within a moment asks nothing"


def test_applying_again_changes_nothing_and_makes_no_second_password(world: World) -> None:
    world.apply(RELEASE, Told().ctx)
    before = world.cluster.objects
    world.cluster.forget_calls()
    world.apply(RELEASE, Told().ctx)
    assert world.cluster.objects == before
    assert [call.split()[0] for call in world.cluster.calls] == ["get"]


def test_the_password_is_told_to_nobody(world: World) -> None:
    told = Told()
    world.apply(RELEASE, told.ctx)
    secret = next(item for item in world.cluster.objects if item["kind"] == "Secret")
    password = secret["data"]["admin-password"]
    assert len(password) > 20
    assert password not in repr(told.events)
    assert not any(password in call for call in world.cluster.calls)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda item: item["spec"].update(type="ClusterIP"), "changed: spec.type"),
        (lambda item: item["metadata"]["labels"].clear(), f"changed: metadata.labels.{RELEASE_LABEL}"),
        (lambda item: item["metadata"]["annotations"].clear(), "changed"),
        (lambda item: item["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "being deleted"),
    ],
)
def test_what_was_changed_by_hand_is_found_and_put_right(world: World, change: Any, expected: str) -> None:
    world.apply(RELEASE, Told().ctx)
    objects = world.cluster.objects
    change(next(item for item in objects if item["kind"] == "Service"))
    world.cluster.put(objects)
    assert world.drift() == {"Service/grafana": expected}
    world.apply(RELEASE, Told().ctx)
    assert world.drift() == {}


def test_what_is_no_longer_wanted_goes_but_never_data_nor_what_others_own(world: World) -> None:
    owned = thing("ConfigMap", "owned")
    owned["metadata"]["ownerReferences"] = [{"kind": "StatefulSet"}]
    foreign = thing("ConfigMap", "foreign")
    foreign["metadata"]["labels"] = {RELEASE_LABEL: "another"}
    claim = thing("PersistentVolumeClaim", "data-before-0")
    old = thing("ConfigMap", "grafana-old-hash")
    world.cluster.put([old, owned, foreign, claim, thing("Namespace", "before")])
    world.apply(RELEASE, Told().ctx)
    assert "ConfigMap/grafana-old-hash" not in world.cluster.names
    kept = {"ConfigMap/owned", "ConfigMap/foreign", "PersistentVolumeClaim/data-before-0", "Namespace/before"}
    assert kept <= world.cluster.names


def test_removing_keeps_claims_and_the_password_unless_data_is_to_go(world: World) -> None:
    world.apply(RELEASE, Told().ctx)
    claim = thing("PersistentVolumeClaim", "data-grafana-0")
    others = thing("PersistentVolumeClaim", "data-postgres-0")
    others["metadata"]["labels"] = {}
    longer = thing("PersistentVolumeClaim", "data-grafana-image-0")
    elsewhere = thing("PersistentVolumeClaim", "data-grafana-0", namespace="elsewhere")
    world.cluster.put([*world.cluster.objects, claim, others, longer, elsewhere])
    world.applier.remove(RELEASE, Told().ctx)
    kept = {"Namespace/obs", "PersistentVolumeClaim/data-postgres-0", "PersistentVolumeClaim/data-grafana-image-0"}
    assert world.cluster.names == kept | {"PersistentVolumeClaim/data-grafana-0", "Secret/grafana-admin"}
    world.applier.remove(RELEASE, Told().ctx, with_data=True)
    assert world.cluster.names == kept | {"PersistentVolumeClaim/data-grafana-0"}
    assert elsewhere in world.cluster.objects
    assert claim not in world.cluster.objects


def test_what_cannot_be_changed_in_place_is_made_anew_and_its_pods_stay(world: World) -> None:
    world.apply(RELEASE, Told().ctx)
    changed = workload()
    changed["spec"]["serviceName"] = "other"
    changed["metadata"]["annotations"] = {FINGERPRINT: "new"}
    world.release = Release((*RELEASE.objects[:2], changed), "obs")
    world.cluster.fails(("apply", "Forbidden: updates to statefulset spec for fields other than 'replicas'"))
    told = Told()
    world.apply(world.release, told.ctx)
    assert any("delete statefulset grafana -n obs --cascade=orphan" in call for call in world.cluster.calls)
    assert world.drift() == {}
    assert any("is recreated" in notice for notice in told.notices)


@pytest.mark.parametrize(
    ("said", "code", "retryable"),
    [
        ('error: context "lab" does not exist', "context-missing", False),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host?",
            "api-unreachable",
            True,
        ),
        ("error: You must be logged in to the server (Unauthorized)", "api-credentials", False),
        (
            'Error from server (Forbidden): services is forbidden: User "me" cannot list resource',
            "api-forbidden",
            False,
        ),
        ("namespaces is forbidden because it is being terminated", "namespace-terminating", True),
        ("Invalid value: 30000: provided port is already allocated", "node-port-taken", True),
        ('The StatefulSet "a" is invalid: spec.x: Invalid value', "manifest-invalid", False),
        ('no matches for kind "Foo" in version "x/v1"', "manifest-unknown-kind", False),
        ("something new", "kubectl-failed", True),
    ],
)
def test_a_failure_is_told_by_its_cause(world: World, said: str, code: str, *, retryable: bool) -> None:
    world.cluster.fails(("apply", said))
    with pytest.raises(InstallError) as caught:
        world.apply(RELEASE, Told().ctx)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert caught.value.hint or code == "manifest-invalid"


def test_kinds_that_the_cluster_does_not_know_yet_are_left_out(world: World) -> None:
    world.cluster.fails(("get", 'error: the server doesn\'t have a resource type "foo"'))
    assert world.drift()["Service/grafana"] == "missing"


def mounting(*, volumes: list[dict[str, Any]], templates: list[str], mounted: str = "data") -> dict[str, Any]:
    """A workload with a volume in its container."""
    container = {"name": "g", "image": "g:1", "volumeMounts": [{"name": mounted, "mountPath": "/data"}]}
    claims = [{"metadata": {"name": name}} for name in templates]
    pod = {"containers": [container], "volumes": volumes}
    return thing("StatefulSet", "grafana", {"template": {"spec": pod}, "volumeClaimTemplates": claims})


EMPTY: dict[str, Any] = {"name": "data", "emptyDir": {}}


@pytest.mark.parametrize(
    "changed",
    [
        mounting(volumes=[EMPTY], templates=[]),
        mounting(volumes=[EMPTY], templates=["data"]),
        mounting(volumes=[{"name": "scratch", "emptyDir": {}}], templates=["data"], mounted="scratch"),
        {**mounting(volumes=[EMPTY], templates=[]), "kind": "Deployment"},
    ],
)
def test_a_volume_on_a_claim_does_not_become_one_that_goes_with_its_pod(world: World, changed: dict[str, Any]) -> None:
    world.release = Release((mounting(volumes=[], templates=["data"]),), "obs")
    world.apply(world.release, Told().ctx)
    before = world.cluster.objects
    world.release = Release((changed,), "obs")
    for refused in (world.drift, lambda: world.apply(world.release, Told().ctx)):
        with pytest.raises(InstallError) as caught:
            refused()
        assert caught.value.code == "data-stranded"
    assert world.cluster.objects == before


def test_the_claims_of_a_workload_that_was_deleted_wait_for_it(world: World) -> None:
    world.cluster.put([thing("PersistentVolumeClaim", "data-grafana-0")])
    world.release = Release((workload(),), "obs")
    with pytest.raises(InstallError, match="data"):
        world.drift()


def managed(manager: str, fields: dict[str, Any], operation: str = "Update") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "time": "2026-01-01T10:00:00Z"}


SCALED: dict[str, Any] = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("manager", "operation", "left"),
    [
        ("kubectl", "Update", False),
        ("kube-controller-manager", "Update", True),
        ("keda-operator", "Update", True),
        ("argocd-controller", "Apply", True),
        ("contextcore-install", "Apply", False),
    ],
)
def test_what_others_go_on_deciding_is_left_and_told(world: World, manager: str, operation: str, *, left: bool) -> None:
    scaled = thing("StatefulSet", "grafana", {"replicas": 1, "serviceName": "g"})
    world.release = Release((scaled,), "obs")
    world.apply(world.release, Told().ctx)
    (live,) = world.cluster.objects
    live["spec"]["replicas"] = 3
    live["metadata"]["managedFields"] = [managed(manager, SCALED, operation)]
    world.cluster.put([live])
    (found,) = drift(world.release, world.reader.read(fresh=True), "demo")
    assert found.kept is left
    assert "spec.replicas" in found.change
    live["spec"]["serviceName"] = "other"  # something of ours as well: that is put back, and only that
    world.cluster.put([live])
    world.apply(world.release, Told().ctx)
    (after,) = world.cluster.objects
    assert after["spec"]["serviceName"] == "g"
    assert ("replicas" not in after["spec"]) is left


def test_what_was_added_with_kubectl_is_told_and_left(world: World) -> None:
    template: dict[str, Any] = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "g"}]}}
    plain = thing("StatefulSet", "grafana", {"template": template})
    world.release = Release((plain,), "obs")
    world.apply(world.release, Told().ctx)
    (live,) = world.cluster.objects
    container: dict[str, Any] = {'k:{"name":"g"}': {".": {}, "f:tty": {}}, 'k:{"name":"side"}': {".": {}, "f:name": {}}}
    edited = {
        "f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}},
        "f:spec": {"f:nodeSelector": {"f:disk": {}}, "f:containers": container},
    }
    live["metadata"]["managedFields"] = [managed("kubectl-edit", {"f:spec": {"f:template": edited}})]
    world.cluster.put([live])
    found = drift(world.release, world.reader.read(fresh=True), "demo")
    told = {item.change.split(" was added")[0] for item in found if item.kept}
    place = "spec.template.spec"
    assert told == {f"{place}.nodeSelector", f"{place}.containers[g].tty", f"{place}.containers[side]"}


def test_a_workload_is_not_parted_from_its_data(world: World) -> None:
    with_data, without = workload(), workload()
    with_data["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    world.release = Release((*RELEASE.objects[:2], with_data), "obs")
    world.apply(world.release, Told().ctx)
    before = world.cluster.objects
    world.release = Release((*RELEASE.objects[:2], without), "obs")
    with pytest.raises(InstallError) as caught:
        world.apply(world.release, Told().ctx)
    assert caught.value.code == "data-stranded"
    assert world.cluster.objects == before


def test_a_volume_of_another_kind_makes_its_workload_anew_as_an_apply_would_leave_both(world: World) -> None:
    before = mounting(volumes=[{"name": "conf", "configMap": {"name": "a"}}], templates=["data"])
    after = mounting(volumes=[{"name": "conf", "projected": {"sources": []}}], templates=["data"])
    world.release = Release((before,), "obs")
    world.apply(world.release, Told().ctx)
    world.release = Release((after,), "obs")
    assert "StatefulSet/grafana" in world.drift()
    world.apply(world.release, Told().ctx)
    assert any("delete statefulset grafana -n obs --cascade=orphan" in call for call in world.cluster.calls)
    assert world.drift() == {}
