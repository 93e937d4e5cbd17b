"""Which pods a new start may help, and which it would only disturb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from contextcore_install.providers.kubernetes.pods import UNREADY_S, Pod, Restarter, end_unstarted, stuck_pods
from kit.fakes import Told
from kit.kube_world import Cluster

LABELS = {"app": "mimir"}
WORKLOAD = Manifest(
    kind="StatefulSet",
    metadata={"name": "mimir", "namespace": "obs"},
    spec={"selector": {"matchLabels": LABELS}},
    status={"updateRevision": "new"},
)
UNREADY_SINCE, UNREADY_AT = "2026-01-01T10:00:00Z", 1767261600.0
NO_CLAIM = 'persistentvolumeclaim "data-mimir-0" not found'
GOING = 'persistentvolumeclaim "data-mimir-0" is being deleted'


def pod(
    waiting: str = "", *, unscheduled: str = "", ready: bool = False, revision: str = "new", going: bool = False
) -> dict[str, Any]:
    """A pod of the workload."""
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": UNREADY_SINCE}}
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": UNREADY_SINCE}]
    if unscheduled:
        told = {"status": "False", "reason": "Unschedulable", "message": unscheduled}
        conditions.append({"type": "PodScheduled", **told})
    return {
        "kind": "Pod",
        "metadata": {
            "name": "mimir-0",
            "namespace": "obs",
            "uid": "u1",
            "labels": {**LABELS, "controller-revision-hash": revision},
            **({"deletionTimestamp": UNREADY_SINCE} if going else {}),
        },
        "status": {
            "phase": "Pending",
            "conditions": conditions,
            "containerStatuses": [] if unscheduled else [{"name": "m", "state": state, "started": not waiting}],
        },
    }


def claim(name: str = "data-mimir-0", namespace: str = "obs", **metadata: str) -> dict[str, Any]:
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": namespace, **metadata}}


def why(pods: list[dict[str, Any]], claims: list[dict[str, Any]] | None = None, at: float = UNREADY_AT) -> list[str]:
    return [cause for _, cause in stuck_pods(WORKLOAD, Snapshot([*pods, *(claims or [])]), at)]


@pytest.mark.parametrize(
    "shown", [pod(ready=True), pod(), pod("ContainerCreating"), pod("CrashLoopBackOff", going=True)]
)
def test_what_is_on_its_way_is_left_alone(shown: dict[str, Any]) -> None:
    assert why([shown]) == []


def test_what_kubernetes_tries_again_ever_later_is_started_anew() -> None:
    assert why([pod("CrashLoopBackOff")]) == ["keeps crashing"]
    assert why([pod("ImagePullBackOff")]) == ["has no image"]


def test_what_is_of_an_older_revision_and_not_ready_is_started_anew() -> None:
    assert why([pod(revision="old")]) == ["is not ready, and outdated"]
    assert why([pod(revision="old", ready=True)]) == []


def test_what_runs_and_does_not_get_ready_is_started_anew_after_a_while() -> None:
    assert why([pod()], at=UNREADY_AT + UNREADY_S - 1) == []
    assert why([pod()], at=UNREADY_AT + UNREADY_S + 1) == ["runs but does not become ready"]


@pytest.mark.parametrize("said", [NO_CLAIM, GOING])
@pytest.mark.parametrize(
    "claims", [[], [claim(deletionTimestamp=UNREADY_SINCE)], [claim("data-loki-0")], [claim(namespace="other")]]
)
def test_a_pod_whose_claim_was_taken_away_is_started_anew(said: str, claims: list[dict[str, Any]]) -> None:
    assert why([pod(unscheduled=said)], claims) == ["lacks its claim, which only a new pod gets"]


def test_a_pod_whose_claim_is_there_only_waits_until_the_scheduler_has_heard_of_it() -> None:
    assert why([pod(unscheduled=NO_CLAIM)], [claim()]) == []


WAITS = {"state": {"waiting": {"reason": "ImagePullBackOff"}}, "lastState": {}, "restartCount": 0}


def unstarted(version: str = "7", **status: list[dict[str, Any]]) -> dict[str, Any]:
    """A pod of two containers, neither of which has an image."""
    return {
        "kind": "Pod",
        "metadata": {"name": "mimir-0", "namespace": "obs", "uid": "u1", "resourceVersion": version},
        "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]},
        "status": {"initContainerStatuses": [WAITS], "containerStatuses": [WAITS], **status},
    }


@pytest.mark.parametrize(
    "status",
    [
        {"containerStatuses": []},
        {"containerStatuses": [{**WAITS, "state": {"running": {}}}]},
        {"containerStatuses": [{**WAITS, "restartCount": 1}]},
        {"containerStatuses": [{**WAITS, "containerID": "containerd://1"}]},
        {"initContainerStatuses": [{**WAITS, "lastState": {"terminated": {"exitCode": 1}}}]},
        {"initContainerStatuses": [{**WAITS, "state": {"terminated": {"exitCode": 0}}}]},
    ],
)
def test_a_pod_of_which_anything_may_have_started_gets_its_grace_period(tmp_path: Path, status: dict[str, Any]) -> None:
    cluster = Cluster(tmp_path)
    cluster.put([unstarted(**status)])
    assert not end_unstarted(cluster.kubectl, Pod(Manifest(unstarted())), Told().ctx)
    assert not [call for call in cluster.calls if call.startswith("delete")]


def test_a_pod_of_which_nothing_ever_started_goes_at_once_as_it_was_read(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.put([unstarted("7")])
    cluster.fails(("delete --raw", "Error from server (Conflict): the object has been modified"))
    assert end_unstarted(cluster.kubectl, Pod(Manifest(unstarted())), Told().ctx)
    raw = "delete --raw /api/v1/namespaces/obs/pods/mimir-0 -f -"
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u1", "resourceVersion": "7"},
    }
    assert [call for call in cluster.calls if call.startswith("delete")] == [raw, raw]
    assert json.loads(cluster.inputs[-1]) == options


def test_a_pod_that_keeps_changing_gets_its_grace_period(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.put([unstarted()])
    cluster.fails(*[("delete --raw", "Error from server (Conflict)")] * 3)
    assert not end_unstarted(cluster.kubectl, Pod(Manifest(unstarted())), Told().ctx)


def test_a_pod_that_was_made_anew_meanwhile_is_left_alone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.put([{**unstarted(), "metadata": {**unstarted()["metadata"], "uid": "u2"}}])
    assert end_unstarted(cluster.kubectl, Pod(Manifest(unstarted())), Told().ctx)
    assert not [call for call in cluster.calls if call.startswith("delete")]


def test_what_no_node_took_so_far_is_made_anew_and_nothing_else(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    items = {name: pod(unscheduled="node not ready") for name in ("alone", "foreign", "waiting")}
    items |= {"placed": pod("ContainerCreating"), "going": pod(unscheduled="late", going=True)}
    items["foreign"]["metadata"]["labels"] = {"app": "other"}
    for name, item in items.items():
        item["metadata"] |= {"name": name} | ({"ownerReferences": [{}]} if name != "alone" else {})
    cluster.put([*items.values(), WORKLOAD])
    release = Release((Manifest(WORKLOAD),))
    Restarter(Reader(cluster.kubectl, lambda: release, owns_nodes=False), lambda *_: {}).place_anew(Told().ctx)
    assert [call for call in cluster.calls if call.startswith("delete")] == [
        "delete --raw /api/v1/namespaces/obs/pods/waiting -f -"
    ]
