"""Workloads without pods: the cause is asked for, not waited for, and once it is gone the controller hears of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.findings import Finding
from contextcore_install.providers.kubernetes.blocked_pods import MissingPods, pod_of
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.managed_fields import added_by_hand
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER, Manifest, Release
from contextcore_install.providers.kubernetes.pods import NUDGED, nudge
from kit.fakes import Told
from kit.kube_world import Cluster

REFUSED = 'Error from server (InternalError): error when creating "STDIN": Internal error occurred: '
WEBHOOK = (
    'failed calling webhook "pods.example.com": Post "https://gone.policy.svc:443/validate?timeout=3s": '
    'service "gone" not found'
)
QUOTA = 'Error from server (Forbidden): pods "loki-x" is forbidden: exceeded quota: few, requested: pods=1'
FORBIDDEN_TO_US = 'Error from server (Forbidden): pods is forbidden: User "me" cannot create resource "pods"'
NO_BINDING = (
    "create Pod loki-0 in StatefulSet loki failed error: pods is forbidden: User "
    '"system:serviceaccount:kube-system:statefulset-controller" cannot create resource "pods" in API group ""'
)
POLICIES = {
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "policies"},
    "webhooks": [{"name": "others.example.com"}, {"name": "pods.example.com"}],
}


def workload(kind: str = "StatefulSet", *, replicas: int = 1, made: str = "2026-01-01T10:00:00Z") -> Manifest:
    return Manifest(
        kind=kind,
        metadata={"name": "loki", "namespace": "obs", "uid": "w1", "creationTimestamp": made},
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "loki"}},
            "template": {
                "metadata": {"labels": {"app": "loki"}, "annotations": {"a": "b"}},
                "spec": {"containers": [{"name": "loki"}], "volumes": [{"name": "tmp", "emptyDir": {}}]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        },
    )


def failed(message: str) -> dict[str, Any]:
    """An event of a controller that could not make a pod."""
    return {
        "kind": "Event", "metadata": {"name": "e"}, "type": "Warning", "reason": "FailedCreate", "message": message,
        "lastTimestamp": "2026-01-01T10:00:00Z", "involvedObject": {"uid": "w1"},
    }  # fmt: skip


class World:
    """A cluster, and how long its workload is without a pod."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder)
        self.kubectl = self.cluster.kubectl

    def told(self, waited: float, live: Manifest | None = None) -> Finding | None:
        live = live or workload()
        found = MissingPods(Reader(self.kubectl, lambda: Release(()))).refused(live.key, live, lambda *_: waited)
        assert found is None or "?" not in f"{found.message} {found.remedy}", "a fact is missing"
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cluster")


def test_the_api_server_says_at_once_which_webhook_of_which_configuration_cannot_be_asked(world: World) -> None:
    world.cluster.put([POLICIES])
    world.cluster.fails(("--dry-run=server", REFUSED + WEBHOOK))
    found = world.told(13)
    assert found is not None
    assert found.code == "webhook-unreachable"
    assert "pods.example.com of the ValidatingWebhookConfiguration policies" in found.message
    assert found.remedy is not None
    assert found.remedy.command == "kubectl --context lab delete validatingwebhookconfiguration policies"
    assert not found.remedy.automatic


def test_a_webhook_whose_configuration_may_not_be_read_is_named_all_the_same(world: World) -> None:
    world.cluster.fails(("--dry-run=server", REFUSED + WEBHOOK), ("get validating", "Error (Forbidden)"))
    found = world.told(13)
    assert found is not None
    assert "the admission webhook pods.example.com must agree" in found.message
    assert found.remedy is not None
    assert found.remedy.command.endswith("get validatingwebhookconfigurations,mutatingwebhookconfigurations")


@pytest.mark.parametrize(("made_s_ago", "told"), [(5, False), (60, True), (-5, False), (-4000, True)])
def test_only_a_workload_that_was_just_made_may_lack_pods_for_no_reason(
    made_s_ago: int, *, told: bool, world: World
) -> None:
    world.cluster.fails(("--dry-run=server", QUOTA))
    live = workload(made=(datetime.now(UTC) - timedelta(seconds=made_s_ago)).isoformat())  # by the API's clock
    found = MissingPods(Reader(world.kubectl, lambda: Release(()))).refused(live.key, live, None)
    assert (found is not None) == told


def test_a_webhook_that_comes_back_within_moments_is_waited_for_and_a_quota_is_not(world: World) -> None:
    world.cluster.fails(("--dry-run=server", REFUSED + WEBHOOK))
    assert world.told(5) is None
    world.cluster.fails(("--dry-run=server", QUOTA))
    found = world.told(5)
    assert found is not None
    assert "the quota few" in found.message


def test_who_may_make_no_pods_learns_the_cause_from_the_controllers_events(world: World) -> None:
    world.cluster.put([failed(f"create Pod loki-0 failed error: {QUOTA}")])
    world.cluster.fails(("--dry-run=server", FORBIDDEN_TO_US))
    found = world.told(11)
    assert found is not None
    assert "the quota few" in found.message


def test_an_event_is_old_news_where_the_api_server_would_take_the_pod(world: World) -> None:
    world.cluster.put([failed(f"create Pod loki-0 failed error: {QUOTA}")])
    assert world.told(40) is None
    assert world.told(46) is not None


def test_what_only_the_controller_may_not_do_is_told_with_the_binding_to_bring_back(world: World) -> None:
    world.cluster.put([failed(NO_BINDING)])
    found = world.told(11)
    assert found is not None
    assert found.remedy is not None
    assert "statefulset-controller may not create pods" in found.message
    assert "create clusterrolebinding system:controller:statefulset-controller" in found.remedy.command


@pytest.mark.parametrize(
    ("refuses", "told"), [("system:serviceaccount:kube-system:statefulset-controller", True), ("me", False)]
)
def test_a_controller_that_may_not_write_events_either_is_asked_for(world: World, refuses: str, told: bool) -> None:
    said = f'Error from server (Forbidden): pods is forbidden: User "{refuses}" cannot create resource "pods"'
    world.cluster.fails(("--as=system:serviceaccount:kube-system:statefulset-controller", said))
    found = world.told(11)
    assert (found is not None and "statefulset-controller may not create pods" in found.message) == told


def test_a_deployment_repeats_what_its_replicaset_was_told(world: World) -> None:
    live = workload("Deployment")
    told = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    live["status"] = {"conditions": [told]}
    world.cluster.fails(("--dry-run=server", FORBIDDEN_TO_US))
    found = world.told(11, live)
    assert found is not None
    assert "the quota few" in found.message


def test_the_pod_that_is_tried_is_the_one_that_would_be_made() -> None:
    pod = pod_of(workload())
    assert pod["metadata"] == {
        "generateName": "loki-", "namespace": "obs", "labels": {"app": "loki"}, "annotations": {"a": "b"}
    }  # fmt: skip
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp", "data"]
    assert pod["spec"]["volumes"][1]["persistentVolumeClaim"] == {"claimName": "data-loki-0"}


def test_nothing_is_asked_of_a_message_that_names_no_webhook(world: World) -> None:
    assert world.kubectl.webhook_facts(QUOTA)["of_configuration"] == ""
    assert world.cluster.calls == []


def test_a_workload_without_its_pods_is_touched_and_no_pod_is_restarted_by_that(world: World) -> None:
    nudge(world.kubectl, workload(), Snapshot([]), Told().ctx)
    (call,) = world.cluster.calls
    assert call.startswith(f"annotate statefulset loki -n obs {NUDGED}=")
    assert f"--field-manager={FIELD_MANAGER}" in call
    owned: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{NUDGED}": {}}}}
    touched = workload()
    touched["metadata"]["managedFields"] = [
        {"manager": FIELD_MANAGER, "operation": "Update", "fieldsV1": owned, "time": "2026-01-01T10:00:00Z"}
    ]
    assert list(added_by_hand(workload(), touched)) == []


def test_a_workload_that_is_new_or_has_its_pods_is_not_touched(world: World) -> None:
    pod = Manifest(kind="Pod", metadata={"name": "loki-0", "namespace": "obs", "labels": {"app": "loki"}})
    nudge(world.kubectl, workload(), Snapshot([pod]), Told().ctx)
    nudge(world.kubectl, workload(made=datetime.now(UTC).isoformat()), Snapshot([]), Told().ctx)
    assert world.cluster.calls == []


def test_a_touch_that_is_refused_is_only_noted(world: World) -> None:
    world.cluster.fails(("annotate", REFUSED + WEBHOOK))
    told = Told()
    nudge(world.kubectl, workload(), Snapshot([]), told.ctx)
    assert any("pods.example.com" in line for line in told.lines)


def scaled(manager: str, operation: str) -> Manifest:
    live = workload(replicas=0)
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    live["metadata"]["managedFields"] = [
        {"manager": manager, "operation": operation, "fieldsV1": fields, "time": "2026-01-01T10:00:00Z"}
    ]
    return live


def test_who_scaled_a_workload_down_is_named_and_it_is_scaled_up_again(world: World) -> None:
    live = scaled("kubectl", "Update")
    assert live.replicas < workload().replicas
    found = MissingPods(Reader(world.kubectl, lambda: Release(()))).scaled_down(live.key, workload(), live)
    assert found is not None
    assert (found.message, found.remedy and found.remedy.automatic) == ("loki is scaled to 0 by kubectl.", True)


def test_what_another_manager_goes_on_scaling_is_told_at_once_and_left_to_it(world: World) -> None:
    live = scaled("flux", "Apply")
    found = MissingPods(Reader(world.kubectl, lambda: Release(()))).scaled_down(live.key, workload(), live)
    assert found is not None
    assert found.remedy is not None
    assert "by flux, which goes on deciding that" in found.message
    assert not found.remedy.automatic
    assert found.remedy.command == "kubectl --context lab -n obs scale statefulset loki --replicas=1"
