"""Pods: how they are, why they are not ready, and which of them are to start anew.

Kubernetes makes a deleted pod of a workload anew at once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.diagnosis import reasons
from contextcore_install.providers.kubernetes.claims import made_too_early, pods_using, remove_empty
from contextcore_install.providers.kubernetes.client import Kubectl, Reader, Snapshot
from contextcore_install.providers.kubernetes.managed_fields import REPLICAS, decided_by, last_changed_by_others
from contextcore_install.providers.kubernetes.objects import API, FIELD_MANAGER, Key, Manifest, moment

#: Provides images that pods lack, and returns why it could not provide some.
GetImages = Callable[[Sequence[str], StepContext], Mapping[str, InstallError]]

#: Seconds for which a pod that has started may be not ready, before that counts as stuck.
UNREADY_S = 45.0
#: Tries to delete a pod as it was read, while its kubelet goes on writing what it says of it.
DELETE_TRIES = 3
#: What the scheduler says (Kubernetes, volumebinding and nodevolumelimits) of a claim that somebody has deleted, and
#: also of one that was made a moment ago and that it has not heard of.
CLAIM_GONE = re.compile(r"persistentvolumeclaim \"(?P<claim>[^\"]+)\" (not found|is being deleted)")
#: The annotation that is touched to have a controller look at its workload. No pod has it: nothing is restarted.
NUDGED = "contextcore-install/nudged"
#: Seconds within which the controller of a workload that was just made has not even tried.
NEW_S = 10.0


class Pod(Manifest):
    """A pod, and the first of its containers that does not get on."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__(item)
        status, conditions = self.status, self.conditions
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
        _, self.namespace, self.name = self.key
        self.revision = self.labels.get("controller-revision-hash", "")
        self.node = str(self.spec.get("nodeName", ""))
        self.phase = str(status.get("phase", ""))
        self.address = str(status.get("podIP", ""))
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
        if self.is_deleting:
            return "is being deleted"
        if self.is_ready:
            return "ready"
        if self.reason:
            return str(API["words"].get(self.reason, self.reason))
        return "starting" if self.phase == "Running" else self.phase.lower() or "unknown"

    def is_unready_for_long(self, now: float) -> bool:
        """Tell whether it has started, and has not been ready for `UNREADY_S` seconds or more."""
        return self.started and not self.is_ready and 0 < moment(self.unready_since) < now - UNREADY_S

    def is_history(self, node_started: Mapping[str, str]) -> bool:
        """Tell whether what is known of it is from before its node was started: it says ready, and is not running."""
        began = int(moment(node_started.get(self.node)))  # to the second, as a pod's time is
        return 0 < moment(self.running_since) < began


def _first_stuck(statuses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the container that keeps the pod: one that waits for a cause, else one that just waits."""
    waiting = [entry for entry in statuses if entry.get("state", {}).get("waiting")]
    causes = [entry for entry in waiting if entry["state"]["waiting"].get("reason") in reasons.BACKING_OFF]
    return next(iter(causes or waiting), {})


def pods_of(workload: Manifest, snapshot: Snapshot) -> list[Pod]:
    labels = workload.spec.get("selector", {}).get("matchLabels")
    beside = (pod for pod in snapshot.of_kind("Pod") if pod.key.namespace == workload.key.namespace)
    return [Pod(pod) for pod in beside if _selects(labels, pod.labels)]


def services_of(workload: Manifest, snapshot: Snapshot) -> list[Manifest]:
    labels = workload.spec.get("template", {}).get("metadata", {}).get("labels", {})
    beside = (item for item in snapshot.of_kind("Service") if item.key.namespace == workload.key.namespace)
    return [service for service in beside if _selects(service.spec.get("selector"), labels)]


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    return selector is not None and bool(selector) and selector.items() <= labels.items()


def stuck_pods(workload: Manifest, snapshot: Snapshot, now: float) -> Iterator[tuple[Pod, str]]:
    """Yield a workload's pods that a new start may help, each with the cause in words; `now` in seconds since 1970."""
    wanted = workload.status.get("updateRevision", "")
    for pod in pods_of(workload, snapshot):
        if pod.is_deleting:
            continue
        if pod.reason in reasons.BACKING_OFF:
            yield pod, pod.condition
        elif not pod.is_ready and wanted and pod.revision and pod.revision != wanted:
            yield pod, "is not ready, and outdated"
        elif pod.is_unready_for_long(now):
            yield pod, "runs but does not become ready"
        elif pod.reason == "Unschedulable" and (gone := CLAIM_GONE.search(pod.message)):
            claim = snapshot.get(Key("PersistentVolumeClaim", pod.namespace, gone["claim"]))
            if claim is None or claim.is_deleting:
                yield pod, "lacks its claim, which only a new pod gets"


def stale_pods(edited: Sequence[Manifest], snapshot: Snapshot) -> Iterator[tuple[Pod, str]]:
    """Yield pods that have read a ConfigMap or Secret as somebody else had `edited` it, each with its name."""
    changes = {item.key: since for item in edited if (since := last_changed_by_others(item))}
    for pod in map(Pod, snapshot.of_kind("Pod")):
        read = _configuration_of(pod)
        for key, since in changes.items():
            is_read = key.kind in {"ConfigMap", "Secret"} and key.namespace == pod.namespace and key.name in read
            if is_read and pod.running_since > since and not pod.is_deleting:
                yield pod, key.label


def _configuration_of(pod: Manifest) -> set[str]:
    volumes = [volume for spec in pod.pod_specs for volume in spec.get("volumes", [])]
    sources = [entry.get("valueFrom", {}) for container in pod.containers for entry in container.get("env", [])]
    found = {volume.get("configMap", {}).get("name") for volume in volumes}
    found |= {volume.get("secret", {}).get("secretName") for volume in volumes}
    found |= {source.get(kind, {}).get("name") for source in sources for kind in ("configMapKeyRef", "secretKeyRef")}
    return {str(name) for name in found if name}


def end_pod(kubectl: Kubectl, pod: Pod, ctx: StepContext) -> None:
    kubectl.call("delete", "pod", pod.name, "-n", pod.namespace, "--wait=false", "--ignore-not-found", ctx=ctx)


def end_unstarted(kubectl: Kubectl, pod: Pod, ctx: StepContext) -> bool:
    """Delete a pod at once if none of its containers was ever made; tell whether it was done. Raises InstallError.

    A kubelet that waits between two tries takes half a minute to let such a pod go, whatever its grace period.
    """
    for _ in range(DELETE_TRIES):
        read = kubectl.items("pod", pod.name, "-n", pod.namespace, ctx=ctx)
        found = next((item for item in read if item.uid == pod.uid), None)
        if found is None:
            return True  # it has gone meanwhile
        if not never_started(found):
            return False
        done = kubectl.delete_unchanged("pods", found, ctx, gracePeriodSeconds=0)
        if done.exit_code == 0:
            return True
        ctx.output(done.stderr.strip())
    return False


def never_started(item: Manifest) -> bool:
    """Tell whether a pod's JSON says of every container that it waits, and that it was never made."""
    kinds = ("initContainer", "container", "ephemeralContainer")
    statuses = [entry for kind in kinds for entry in item.status.get(f"{kind}Statuses") or []]
    return len(statuses) == sum(len(item.spec.get(f"{kind}s", [])) for kind in kinds) and all(
        (entry.get("state") or {}).get("waiting")
        and not (entry.get("containerID") or entry.get("lastState") or entry.get("restartCount"))
        for entry in statuses
    )


def nudge(kubectl: Kubectl, workload: Manifest, snapshot: Snapshot, ctx: StepContext) -> None:
    """Have a workload that lacks pods, and was not just made, reconciled: controllers back off after each refusal."""
    if time.time() - workload.made_at < NEW_S or len(pods_of(workload, snapshot)) >= workload.replicas:
        return
    key, now = workload.key, datetime.now(UTC).isoformat(timespec="milliseconds")
    note = (f"{NUDGED}={now}", "--overwrite", f"--field-manager={FIELD_MANAGER}")
    try:
        done = kubectl.attempt("annotate", key.kind.lower(), key.name, "-n", key.namespace, *note, ctx=ctx)
    except InstallError as error:
        ctx.output(f"{key.label} could not be touched: {error.message}")
        return
    ctx.output(done.stderr.strip() or f"{key.label} lacks pods; its controller is asked to try again")


class Restarter:
    """Gives pods that are stuck another start, once for each cause."""

    def __init__(self, reader: Reader, get_images: GetImages) -> None:
        self._kubectl = reader.kubectl
        self._reader = reader
        self._get_images = get_images
        self._restarted: set[tuple[str, str]] = set()

    def has_too_few_pods(self) -> bool:
        """Tell whether somebody has lowered a number of pods since the release was applied. Raises InstallError."""
        snapshot = self._reader.read(fresh=True)
        pairs = ((item, snapshot.get(key)) for key, item in self._reader.release().workloads.items())
        return any(live and live.replicas < item.replicas and not decided_by(live, REPLICAS) for item, live in pairs)

    def restart(self, ctx: StepContext) -> None:
        """Have missing pods made, and end stuck ones. Raises InstallError, at last also if an image cannot be had."""
        snapshot = self._reader.read()
        if self._make_claims_anew(snapshot, ctx):
            snapshot = self._reader.read(fresh=True)
        live = self._live(snapshot)
        stuck = [found for item in live for found in stuck_pods(item, snapshot, time.time())]
        for item in live:
            nudge(self._kubectl, item, snapshot, ctx)
        lacking = dict.fromkeys(pod.image for pod, _ in stuck if pod.reason in reasons.IMAGE)
        refused = self._get_images(list(lacking), ctx) if lacking else {}
        ready = {node.key.name for node in snapshot.of_kind("Node") if node.is_ready}
        for pod, why in stuck:
            still_lacks = pod.reason in reasons.IMAGE and pod.image in refused
            if (pod.uid, why) not in self._restarted and not still_lacks:
                self._restarted.add((pod.uid, why))
                ctx.notice(f"{pod.name} {why}; it is restarted now, without waiting for its back-off")
                if pod.node not in ready or not end_unstarted(self._kubectl, pod, ctx):
                    end_pod(self._kubectl, pod, ctx)
        self._reader.forget()
        for error in refused.values():
            raise replace(error, retryable=False)  # to load it once more heals nothing

    def place_anew(self, ctx: StepContext) -> None:
        """Have pods of ours made anew that no node has taken: the scheduler's pauses between two tries have grown."""
        snapshot = self._reader.read()
        for pod in (pod for item in self._live(snapshot) for pod in pods_of(item, snapshot)):
            is_controlled = bool(pod.metadata.get("ownerReferences"))
            if is_controlled and pod.reason == reasons.UNSCHEDULABLE and not pod.is_deleting:
                # One that a node has taken meanwhile, or that the scheduler has just tried, stays.
                done = self._kubectl.delete_unchanged("pods", pod, ctx, gracePeriodSeconds=0)
                ctx.output(done.stderr.strip() or f"{pod.name} is made anew, as nodes take pods now")
        self._reader.forget()

    def _live(self, snapshot: Snapshot) -> list[Manifest]:
        """Return the workloads of the release that there are."""
        return [found for key in self._reader.release().workloads if (found := snapshot.get(key))]

    def _make_claims_anew(self, snapshot: Snapshot, ctx: StepContext) -> bool:
        """Delete, with their pods, the claims that never had a volume and get one if they are made now."""
        early = list(made_too_early(self._reader, snapshot))
        for claim, default in early:
            key = claim.key
            ctx.notice(
                f"{key.name} is recreated, as it is older than the storage class {default}; it never held anything"
            )
            remove_empty(self._kubectl, claim, ctx)
            for pod in pods_using(snapshot, key):
                end_pod(self._kubectl, Pod(pod), ctx)
        return bool(early)
