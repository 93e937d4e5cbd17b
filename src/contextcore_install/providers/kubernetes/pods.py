"""What the JSON of pods and workloads says: how they are, and why they are not ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contextcore_install.diagnosis import reasons
from contextcore_install.providers.kubernetes.objects import API, Manifest, moment


class Pod:
    """A pod as its JSON shows it, and the first of its containers that does not get on."""

    def __init__(self, item: Manifest) -> None:
        status, conditions = item.status, item.conditions
        scheduled, ready = conditions.get("PodScheduled", {}), conditions.get("Ready", {})
        own_statuses = status.get("containerStatuses", [])
        statuses = [*status.get("initContainerStatuses", []), *own_statuses]
        stuck = _first_stuck(statuses)
        blocker = stuck["state"]["waiting"] if stuck else status  # whose reason may be Evicted, NodeLost, ...
        if scheduled.get("status") == "False":
            blocker = scheduled
        ends = (stuck.get(state, {}).get("terminated") for state in ("state", "lastState"))
        end: Mapping[str, Any] = next(filter(None, ends), {})
        running = [entry.get("state", {}).get("running", {}) for entry in statuses]
        self.item = item
        _, self.namespace, self.name = item.key
        self.uid = item.uid
        self.revision = item.labels.get("controller-revision-hash", "")
        self.deleting = item.is_deleting
        self.node = str(item.spec.get("nodeName", ""))
        self.phase = str(status.get("phase", ""))
        self.address = str(status.get("podIP", ""))
        self.ready = item.is_ready
        self.unready_since = str(ready.get("lastTransitionTime", ""))  # when it was last said to be (not) ready
        self.reason = str(blocker.get("reason", ""))  # Kubernetes' word for what keeps it; empty if nothing does
        self.message = str(blocker.get("message", "")) if self.reason else ""
        self.container = str(stuck.get("name", ""))
        self.image = str(stuck.get("image", ""))
        self.restarts = max((int(entry.get("restartCount", 0)) for entry in statuses), default=0)
        self.exit_code: int | None = end.get("exitCode")
        self.ended_with = str(end.get("message", ""))
        self.killed_for_memory = end.get("reason") == "OOMKilled"
        self.running_since = min((str(state["startedAt"]) for state in running if state.get("startedAt")), default="")
        self.started = bool(statuses) and all(entry.get("started") for entry in own_statuses)  # startup probes passed

    @property
    def condition(self) -> str:
        if self.deleting:
            return "is being deleted"
        if self.ready:
            return "ready"
        if self.reason:
            return str(API["words"].get(self.reason, self.reason))
        return "starting" if self.phase == "Running" else self.phase.lower() or "unknown"

    def is_history(self, node_started: Mapping[str, str]) -> bool:
        """Tell whether what is known of it is from before its node was started: it says ready, and is not running."""
        began = int(moment(node_started.get(self.node)))  # to the second, as a pod's time is
        return 0 < moment(self.running_since) < began


def _first_stuck(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the container that keeps the pod: one that waits for a cause, else one that just waits."""
    waiting = [entry for entry in statuses if entry.get("state", {}).get("waiting")]
    causes = [entry for entry in waiting if entry["state"]["waiting"].get("reason") in reasons.BACKING_OFF]
    return next(iter(causes or waiting), {})


def selected(pods: Iterable[Manifest], workload: Manifest) -> list[Pod]:
    """Return the pods of a workload."""
    labels = workload.spec.get("selector", {}).get("matchLabels")
    return [Pod(pod) for pod in pods if _selects(labels, pod.labels) and pod.key.namespace == workload.key.namespace]


def services_of(workload: Manifest, services: Iterable[Manifest]) -> list[Manifest]:
    labels = workload.spec.get("template", {}).get("metadata", {}).get("labels", {})
    beside = (service for service in services if service.key.namespace == workload.key.namespace)
    return [service for service in beside if _selects(service.spec.get("selector"), labels)]


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    return selector is not None and bool(selector) and selector.items() <= labels.items()


def leads_to(endpoints: Manifest, pods: Sequence[Pod]) -> bool:
    """Tell whether a Service's Endpoints hold its pods' addresses: for some 20 s after a node's start, they are old."""
    subsets = endpoints.get("subsets", [])
    held = {str(address.get("ip")) for subset in subsets for address in subset.get("addresses", [])}
    return held >= {pod.address for pod in pods}


def is_scaled_down(wanted: Manifest, live: Manifest) -> bool:
    return wanted.get("kind") != "DaemonSet" and live.replicas < wanted.replicas
