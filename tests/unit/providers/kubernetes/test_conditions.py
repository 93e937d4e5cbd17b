"""Pods as Kubernetes tells of them: what they come to, what keeps them, and when that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.provider import Workload
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.conditions import PLACING_S, WaitLimits, WorkloadConditions
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from contextcore_install.providers.kubernetes.pods import Pod
from contextcore_install.providers.kubernetes.watch import documents
from kit.kube_world import Cluster

LABELS = {"app": "loki"}


def stateful_set(**status: Any) -> dict[str, Any]:
    """A StatefulSet of one pod; ready unless told otherwise."""
    ready = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "loki", "namespace": "obs", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}},
        "status": {**ready, **status},
    }


def pod(
    waiting: str = "", message: str = "", *, restarts: int = 0, ended: dict[str, Any] | None = None,
    unscheduled: str = "", ready: bool = False, since: str = "2026-01-01T10:00:00Z",
) -> dict[str, Any]:  # fmt: skip
    """A pod in some state."""
    state = {"waiting": {"reason": waiting, "message": message}} if waiting else {"running": {"startedAt": since}}
    container = {
        "name": "loki", "image": "grafana/loki:3.7.6", "restartCount": restarts, "state": state,
        "lastState": {"terminated": ended} if ended else {},
    }  # fmt: skip
    conditions = [{"type": "Ready", "status": str(ready)}]
    if unscheduled:
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unscheduled}
        )
    return {
        "kind": "Pod",
        "metadata": {"name": "loki-0", "namespace": "obs", "uid": "u1", "labels": LABELS},
        "spec": {"nodeName": "" if unscheduled else "node"},
        "status": {
            "phase": "Pending" if waiting or unscheduled else "Running",
            "conditions": conditions,
            "containerStatuses": [] if unscheduled else [container],
        },
    }


class Watcher:
    """Conditions of one workload, with a clock of its own and a cluster that has the logs."""

    def __init__(
        self,
        folder: Path,
        *,
        image_remedy: str = "",
        node_started: dict[str, str] | None = None,
        reads_endpoints: bool = False,
    ) -> None:
        self.cluster = Cluster(folder)
        self.at = 0.0
        self.patience = WaitLimits(lambda: self.at)
        self._conditions = WorkloadConditions(
            Reader(self.cluster.kubectl, lambda: Release((stateful_set(),), "obs"), owns_nodes=reads_endpoints),
            lambda _: image_remedy,
            lambda: node_started or {},
        )

    def look(self, *objects: dict[str, Any], patient: bool = True) -> Workload:
        patience = self.patience if patient else None
        workload = self._conditions.now(Snapshot(objects), patience)[0]
        if found := workload.finding:
            remedy = found.remedy
            assert "?" not in f"{found.message} {remedy and (remedy.summary, remedy.command)}", "a fact is missing"
        return workload

    def happened(self, *events: tuple[str, str], to: str = "u1") -> None:
        """Have the cluster tell of events of an object, by its uid: reason and message, the last one last."""
        kind = {"FailedMount": "Warning", "Unhealthy": "Warning", "FailedCreate": "Warning"}
        self.cluster.put(
            [
                {
                    "kind": "Event",
                    "metadata": {"name": str(number)},
                    "type": kind.get(reason, "Normal"),
                    "involvedObject": {"uid": to},
                    "reason": reason,
                    "message": message,
                    "lastTimestamp": f"2026-01-01T10:00:0{number}Z",
                }
                for number, (reason, message) in enumerate(events)
            ]
        )

    def after(self, seconds: float, *objects: dict[str, Any]) -> Workload:
        """Look now, when it may have been a passing state, and again when that has lasted."""
        self.look(*objects)
        self.at += PLACING_S
        self.look(*objects)
        self.at += seconds
        return self.look(*objects)


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(tmp_path / "cluster")


NOT_READY = stateful_set(readyReplicas=0)


def test_a_workload_is_ready_when_all_of_it_runs_as_it_should(watcher: Watcher) -> None:
    assert watcher.look(stateful_set(), pod(ready=True)).ready


@pytest.mark.parametrize(
    "status", [{"readyReplicas": 0}, {"updatedReplicas": 0}, {"observedGeneration": 0}, {"replicas": 2}]
)
def test_a_rollout_under_way_is_not_ready(status: dict[str, int]) -> None:
    assert not Manifest(stateful_set(**status)).is_rolled_out


def test_a_workload_that_is_gone_or_scaled_to_nothing_is_told(watcher: Watcher) -> None:
    gone = watcher.look()
    assert not gone.ready
    assert gone.finding is not None
    assert gone.finding.code == "workload-missing"
    none = stateful_set(replicas=0, readyReplicas=0, updatedReplicas=0)
    none["spec"]["replicas"] = 0
    assert watcher.look(none).condition == "is scaled down"


@pytest.mark.parametrize(
    ("said", "code", "grace"),
    [
        ("rpc error: code = NotFound desc = failed to pull: grafana/loki:9: not found", "image-not-found", 4),
        ("pull access denied, repository does not exist", "image-not-found", 4),
        ("dial tcp: lookup registry-1.docker.io: no such host", "image-unavailable", 50),
    ],
)
def test_an_image_that_is_not_there_is_named_once_that_has_lasted(
    watcher: Watcher, said: str, code: str, grace: float
) -> None:
    broken = pod("ErrImagePull", said)
    assert watcher.look(NOT_READY, broken).finding is None
    finding = watcher.after(grace, NOT_READY, broken).finding
    assert finding is not None
    assert finding.code == code
    assert "grafana/loki:3.7.6" in finding.message


def test_a_rate_limit_is_waited_out(watcher: Watcher) -> None:
    limited = pod("ImagePullBackOff", "toomanyrequests: You have reached your pull rate limit")
    assert watcher.after(10_000, NOT_READY, limited).finding is None


def test_an_image_that_could_be_loaded_is_a_finding_that_heals_itself(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "cluster", image_remedy="Load it.")
    finding = watcher.after(5, NOT_READY, pod("ErrImagePull", "not found")).finding
    assert finding is not None
    assert finding.remedy is not None
    assert finding.remedy.automatic


@pytest.mark.parametrize("waiting", ["ContainerCreating", "PodInitializing"])
def test_a_pull_in_progress_is_no_failure(watcher: Watcher, waiting: str) -> None:
    assert watcher.after(600, NOT_READY, pod(waiting)).finding is None


def test_missing_configuration_is_named(watcher: Watcher) -> None:
    broken = pod("CreateContainerConfigError", 'secret "grafana-admin" not found')
    finding = watcher.after(7, NOT_READY, broken).finding
    assert finding is not None
    assert finding.code == "config-missing"
    assert "the secret grafana-admin is missing" in finding.message


def test_a_kubelet_that_has_just_started_is_waited_for(watcher: Watcher) -> None:
    said = "services have not yet been read at least once, cannot construct envvars"
    assert watcher.after(60, NOT_READY, pod("CreateContainerConfigError", said)).finding is None


def test_a_volume_without_its_configmap_is_found_in_the_events(watcher: Watcher) -> None:
    watcher.happened(("Scheduled", ""), ("FailedMount", 'configmap "loki" not found'))
    stuck = pod("ContainerCreating")
    watcher.after(11, NOT_READY, stuck)
    finding = watcher.after(7, NOT_READY, stuck).finding
    assert finding is not None
    assert "the configmap loki is missing" in finding.message


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ('pods "loki-0" is forbidden: exceeded quota: compute', True),
        ("The POST operation against Pod could not be completed at this time, please try again.", False),
        ("etcdserver: request timed out", False),
    ],
)
def test_a_pod_that_the_cluster_refuses_is_told_and_one_that_it_has_no_time_for_is_waited_for(
    watcher: Watcher, said: str, refused: bool
) -> None:
    said = f"create Pod loki-0 in StatefulSet loki failed error: {said}"
    watcher.happened(("FailedCreate", said), to="")
    finding = watcher.after(60, NOT_READY).finding
    assert (finding is not None and finding.code == "pod-refused") is refused


def test_a_first_crash_is_an_accident_and_a_loop_is_told_with_its_last_words(watcher: Watcher) -> None:
    ended = {"exitCode": 1, "reason": "Error"}
    once = pod("CrashLoopBackOff", "back-off", restarts=1, ended=ended)
    assert watcher.after(60, NOT_READY, once).finding is None
    finding = watcher.look(NOT_READY, pod("CrashLoopBackOff", "back-off", restarts=2, ended=ended)).finding
    assert finding is not None
    assert finding.code == "crash-loop"
    assert "exit code 1" in finding.message
    assert any("logs loki-0" in call for call in watcher.cluster.calls)


def test_too_little_memory_is_told_at_once(watcher: Watcher) -> None:
    killed = pod("CrashLoopBackOff", restarts=1, ended={"exitCode": 137, "reason": "OOMKilled"})
    finding = watcher.look(NOT_READY, killed).finding
    assert finding is not None
    assert finding.code == "out-of-memory"


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", "memory"),
        ("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory.", "cpu and memory"),
    ],
)
def test_the_short_resource_is_named(watcher: Watcher, said: str, names: str) -> None:
    finding = watcher.after(21, NOT_READY, pod(unscheduled=said)).finding
    assert finding is not None
    assert f"not enough {names}" in finding.message


@pytest.mark.parametrize(
    "said",
    [
        "0/1 nodes are available: 1 node(s) had taint {node.kubernetes.io/not-ready: }, that the pod didn't tolerate.",
        "pod has unbound immediate PersistentVolumeClaims",
    ],
)
def test_what_the_scheduler_waits_for_itself_is_no_failure(watcher: Watcher, said: str) -> None:
    assert watcher.after(600, NOT_READY, pod(unscheduled=said)).finding is None


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("ProvisioningFailed", "names no storage class"),
        ("FailedBinding", "its claim data-loki-0 names no storage class"),
        ("WaitForFirstConsumer", ""),
    ],
)
def test_a_claim_that_waits_for_its_pod_is_normal_and_one_without_a_class_is_not(
    watcher: Watcher, reason: str, says: str
) -> None:
    metadata = {"name": "data-loki-0", "namespace": "obs", "uid": "c1"}
    claim = {"kind": "PersistentVolumeClaim", "metadata": metadata, "status": {"phase": "Pending"}}
    watcher.happened((reason, "no persistent volumes available for this claim and no storage class is set"), to="c1")
    unbound = pod(unscheduled="pod has unbound immediate PersistentVolumeClaims")
    workload = watcher.after(21, NOT_READY, unbound, claim)
    if says:
        assert workload.finding is not None
        assert workload.finding.code == "volume-pending"
        assert says in workload.finding.message
    else:
        assert (workload.condition, workload.finding) == ("waits for its volume", None)


def test_a_check_names_troubles_at_once(watcher: Watcher) -> None:
    assert watcher.look(NOT_READY, pod("ErrImagePull", "not found"), patient=False).finding is not None


def test_readiness_from_before_the_node_was_started_is_history(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "cluster", node_started={"node": "2026-01-01T11:00:00.123456789Z"})
    assert not watcher.look(stateful_set(), pod(ready=True, since="2026-01-01T10:59:59Z")).ready
    assert watcher.look(stateful_set(), pod(ready=True, since="2026-01-01T11:00:01Z")).ready


def test_a_pod_without_a_status_is_read(watcher: Watcher) -> None:
    found = Pod(Manifest(metadata={"name": "a"}))
    assert (found.is_ready, found.condition) == (False, "unknown")


def test_a_watch_is_read_document_by_document_whatever_their_size_and_shape() -> None:
    pretty = '{\n    "type": "ADDED",\n    "object": {\n        "a": "}"\n    }\n}\n{\n    "type": "X"\n}'
    assert [item["type"] for item in documents(iter(pretty.split("\n")))] == ["ADDED", "X"]
    assert list(documents(iter(['{"type": "A"}', '{"type": "B"}', "{"]))) == [{"type": "A"}, {"type": "B"}]
    assert list(documents(iter(["}", "{"]))) == []


def test_between_two_pulls_the_last_one_says_why(watcher: Watcher) -> None:
    watcher.look(NOT_READY, pod("ErrImagePull", "manifest unknown"))
    finding = watcher.after(4, NOT_READY, pod("ImagePullBackOff", "Back-off pulling image")).finding
    assert finding is not None
    assert finding.code == "image-not-found"
    assert "manifest unknown" in finding.evidence


def test_what_a_controller_counted_before_its_node_went_is_not_believed(watcher: Watcher) -> None:
    ended = pod(ready=False)
    ended["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 255, "reason": "Unknown"}}
    assert not watcher.look(stateful_set(), ended).ready
    assert watcher.look(stateful_set(), pod(ready=True)).ready


def test_a_workload_is_ready_once_its_services_lead_to_where_its_pods_are_now(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "cluster", reads_endpoints=True)
    workload, runs = stateful_set(), pod(ready=True)
    workload["spec"]["template"] = {"metadata": {"labels": LABELS}}
    runs["status"]["podIP"] = "10.0.0.2"
    named = {"name": "loki", "namespace": "obs"}
    service = {"kind": "Service", "metadata": named, "spec": {"selector": LABELS}}

    def endpoints(*addresses: str) -> dict[str, Any]:
        subsets = [{"addresses": [{"ip": address} for address in addresses]}]
        return {"kind": "Endpoints", "metadata": named, "subsets": subsets}

    assert watcher.look(workload, runs).ready  # no Service: nothing leads anywhere
    for stale in (endpoints("10.0.0.1"), {"kind": "Endpoints", "metadata": named}):
        found = watcher.look(workload, runs, service, stale)
        assert (found.ready, found.condition) == (False, "Service/loki does not route to it yet")
    assert not watcher.look(workload, runs, service).ready
    assert watcher.look(workload, runs, service, endpoints("10.0.0.2")).ready


def test_what_a_node_lacked_and_is_there_again_is_only_waited_for(watcher: Watcher) -> None:
    watcher.happened(("FailedMount", 'MountVolume.SetUp failed for volume "config" : configmap "loki" not found'))
    stuck, config = (pod("ContainerCreating"), {"kind": "ConfigMap", "metadata": {"name": "loki", "namespace": "obs"}})
    assert watcher.look(NOT_READY, stuck, patient=False).finding is not None
    found = watcher.look(NOT_READY, stuck, config, patient=False)
    assert (found.condition, found.finding) == ("waits for its node to try again", None)


def test_a_mount_that_went_well_at_last_is_no_trouble_any_more(watcher: Watcher) -> None:
    watcher.happened(("FailedMount", 'configmap "loki" not found'), ("Pulling", 'Pulling image "grafana/loki"'))
    stuck = pod("ContainerCreating")
    watcher.after(11, NOT_READY, stuck)
    assert watcher.after(600, NOT_READY, stuck).finding is None


def test_a_pod_that_never_gets_ready_is_told_with_what_its_probe_was_answered(watcher: Watcher) -> None:
    watcher.happened(("Started", ""), ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"))
    running = pod()
    running["status"]["containerStatuses"][0]["started"] = True
    finding = watcher.after(46, NOT_READY, running).finding
    assert finding is not None
    assert (finding.code, finding.remedy and finding.remedy.automatic) == ("never-ready", True)
    assert "its Readiness probe is answered with HTTP 503" in finding.message


def test_an_evicted_pod_says_what_its_node_is_short_of(watcher: Watcher) -> None:
    evicted = pod()
    evicted["status"] = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi.",
    }
    finding = watcher.after(21, NOT_READY, evicted).finding
    assert finding is not None
    assert finding.message == "loki was evicted: its node runs out of memory."


def test_a_container_that_logged_nothing_is_told_by_what_its_runtime_said(watcher: Watcher) -> None:
    said = 'runc create failed: exec: "lokki": executable file not found in $PATH: unknown'
    ended = {"exitCode": 128, "reason": "StartError", "message": said}
    finding = watcher.look(NOT_READY, pod("CrashLoopBackOff", restarts=2, ended=ended), patient=False).finding
    assert finding is not None
    assert (finding.code, finding.evidence) == ("program-missing", said)


def test_who_comes_between_two_pulls_learns_from_the_events_why(watcher: Watcher) -> None:
    why = 'Failed to pull image "grafana/loki:3.7.6": rpc error: code = NotFound desc = not found'
    watcher.happened(("Pulling", ""), ("Failed", why), ("Failed", "Error: ErrImagePull"), ("BackOff", "Back-off"))
    stuck = pod("ImagePullBackOff", 'Back-off pulling image "grafana/loki:3.7.6"')
    finding = watcher.look(NOT_READY, stuck, patient=False).finding
    assert finding is not None
    assert (finding.code, finding.evidence) == ("image-not-found", why)
