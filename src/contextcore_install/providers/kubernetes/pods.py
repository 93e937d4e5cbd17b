"""What pods say about how they are, and why they do not get on. Pure: JSON in, dataclasses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contextcore_install.diagnosis import reasons
from contextcore_install.providers.kubernetes.objects import Manifest


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, and the first of its containers that does not get on.

    `reason` is Kubernetes' word for what keeps it (empty where nothing does), `message` what goes with it; `ended_with`
    is what was said of its container's last end. `started` says that its containers have passed their startup probes,
    `unready_since` when it was last said to be (not) ready.
    """

    name: str
    namespace: str
    uid: str
    ready: bool
    deleting: bool
    phase: str
    node: str = ""
    reason: str = ""
    message: str = ""
    container: str = ""
    image: str = ""
    restarts: int = 0
    exit_code: int | None = None
    ended_with: str = ""
    killed_for_memory: bool = False
    running_since: str = ""
    address: str = ""
    started: bool = False
    unready_since: str = ""
    revision: str = ""

    @property
    def condition(self) -> str:
        """How it is, in a few words."""
        if self.deleting:
            return "is going"
        if self.ready:
            return "ready"
        if self.reason:
            return _WORDS.get(self.reason, self.reason)
        return "starting" if self.phase == "Running" else self.phase.lower() or "unknown"


_WORDS = {
    "ContainerCreating": "is being created",
    "PodInitializing": "is being initialised",
    "Unschedulable": "waits for a node",
    "CrashLoopBackOff": "starts and ends again",
    "ErrImagePull": "has no image",
    "ImagePullBackOff": "has no image",
    "CreateContainerConfigError": "lacks configuration",
}


def read_pod(item: Manifest) -> Pod:
    """Return what a pod's JSON says."""
    metadata, spec, status = item.get("metadata", {}), item.get("spec", {}), item.get("status", {})
    conditions = {entry.get("type"): entry for entry in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    stuck = _first_stuck(statuses)
    reason, message = "", ""
    if scheduled.get("status") == "False":
        reason, message = str(scheduled.get("reason", "")), str(scheduled.get("message", ""))
    elif stuck:
        waiting = stuck.get("state", {}).get("waiting") or {}
        reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    elif status.get("reason"):  # Evicted, NodeLost, ...
        reason, message = str(status["reason"]), str(status.get("message", ""))
    ended = _last_end(stuck or {})
    return Pod(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting=bool(metadata.get("deletionTimestamp")),
        phase=str(status.get("phase", "")),
        node=str(spec.get("nodeName", "")),
        reason=reason,
        message=message,
        container=str((stuck or {}).get("name", "")),
        image=str((stuck or {}).get("image", "")),
        restarts=max((int(entry.get("restartCount", 0)) for entry in statuses), default=0),
        exit_code=ended.get("exitCode"),
        ended_with=str(ended.get("message", "")),
        killed_for_memory=ended.get("reason") == "OOMKilled",
        running_since=min(_starts(statuses), default=""),
        address=str(status.get("podIP", "")),
        started=bool(statuses) and all(entry.get("started") for entry in status.get("containerStatuses") or []),
        unready_since=str(conditions.get("Ready", {}).get("lastTransitionTime", "")),
        revision=str((metadata.get("labels") or {}).get("controller-revision-hash", "")),
    )


def moment(text: str) -> float:
    """Return a time of Kubernetes' in seconds since 1970; 0 for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _first_stuck(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the container that keeps the pod: one that waits for a cause, else one that just waits."""
    waiting = [entry for entry in statuses if (entry.get("state") or {}).get("waiting")]
    causes = [entry for entry in waiting if entry["state"]["waiting"].get("reason") in reasons.BACKING_OFF]
    return next(iter(causes or waiting), None)


def _starts(statuses: Sequence[Mapping[str, Any]]) -> list[str]:
    running = [(entry.get("state") or {}).get("running") or {} for entry in statuses]
    return [str(state["startedAt"]) for state in running if state.get("startedAt")]


def _last_end(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    for state in (entry.get("state") or {}, entry.get("lastState") or {}):
        if state.get("terminated"):
            return dict(state["terminated"])
    return {}


def selected(pods: Sequence[Manifest], workload: Manifest) -> list[Manifest]:
    """Return the pods that a workload selects."""
    namespace = workload.get("metadata", {}).get("namespace")
    labels = (workload.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    if not labels:
        return []
    return [
        pod
        for pod in pods
        if pod.get("metadata", {}).get("namespace") == namespace
        and labels.items() <= (pod.get("metadata", {}).get("labels") or {}).items()
    ]


def services_of(workload: Manifest, services: Sequence[Manifest]) -> list[Manifest]:
    """Return the Services that select a workload's pods."""
    namespace = workload.get("metadata", {}).get("namespace")
    template = (workload.get("spec") or {}).get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    return [
        service
        for service in services
        if service.get("metadata", {}).get("namespace") == namespace
        and (selector := (service.get("spec") or {}).get("selector"))
        and selector.items() <= labels.items()
    ]


def is_history(pod: Pod, node_started: Mapping[str, str]) -> bool:
    """Tell whether what is known of a pod is from before its node was started: it says ready, and is not running."""
    began = node_started.get(pod.node, "")[:19]  # RFC 3339 in UTC, to the second
    return bool(began and pod.running_since) and pod.running_since[:19] < began


def leads_to(endpoints: Manifest, pods: Sequence[Pod]) -> bool:
    """Tell whether a Service's Endpoints hold the addresses that its pods have now.

    After a node's start they hold those from before until the controller manager is back, some 20 seconds later; what
    answers there meanwhile may be another pod.
    """
    subsets = endpoints.get("subsets") or []
    held = {str(address.get("ip")) for subset in subsets for address in subset.get("addresses") or []}
    return held >= {pod.address for pod in pods}


def is_rolled_out(workload: Manifest) -> bool:
    """Tell whether a Deployment, StatefulSet or DaemonSet runs what it should, all of it ready."""
    status, spec = workload.get("status") or {}, workload.get("spec") or {}
    if int(status.get("observedGeneration", 0)) < int(workload.get("metadata", {}).get("generation", 0)):
        return False
    if workload.get("kind") == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled", 0))
        return int(status.get("updatedNumberScheduled", 0)) >= wanted and int(status.get("numberReady", 0)) >= wanted
    wanted = int(spec.get("replicas", 1))
    counted = ("updatedReplicas", "readyReplicas", "replicas")
    return all(int(status.get(name, 0)) == wanted for name in counted) and not status.get("unavailableReplicas")
