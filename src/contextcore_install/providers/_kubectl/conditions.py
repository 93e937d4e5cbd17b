"""How each workload is: does it run what it should, and if not, what keeps it and what would heal it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.ports import Workload
from contextcore_install.diagnosis.kubernetes_rules import (
    REPAIR,
    Trouble,
    diagnose_claim,
    diagnose_config,
    diagnose_crash,
    diagnose_image,
    diagnose_unschedulable,
)
from contextcore_install.providers._kubectl.client import Kubectl
from contextcore_install.providers._kubectl.objects import Key, Manifest, key_of
from contextcore_install.providers._kubectl.pods import (
    CONFIG_REASONS,
    CRASH_REASONS,
    IMAGE_REASONS,
    START_REASONS,
    Pod,
    is_history,
    is_rolled_out,
    leads_to,
    read_pod,
    selected,
    services_of,
)
from contextcore_install.providers._kubectl.render import Release
from contextcore_install.providers._kubectl.snapshot import Snapshot
from contextcore_install.providers._kubectl.starting import UNREADY_S, is_unready_for_long

WORKLOAD_KINDS = ("StatefulSet", "Deployment", "DaemonSet")

#: Seconds for which a trouble may last before it counts: kubelet and scheduler need a moment to see what has come.
GRACE_S = {
    "image-not-found": 3.0,
    "image-unavailable": 20.0,
    "image-rate-limit": float("inf"),
    "config-missing": 6.0,
    "unschedulable": 20.0,
    "volume-pending": 20.0,
}
#: After how many restarts a crash is no accident.
CRASHES = 2
#: Seconds in ContainerCreating after which the events are asked why.
CREATING_S = 10.0
LOG_TAIL = 30
NEVER_READY = "never-ready"
STILL_STARTING = "services have not yet been read"
"""What a kubelet says of pods that it cannot start before it has heard of all Services: it has itself just started."""
_OVERLOADED = re.compile(
    r"(?i)try again|timed out|timeout|deadline exceeded|connection refused|too many requests"
)
"""Of messages about a pod that could not be made: the API server had no time for it, and its manager tries again."""


@dataclass
class Patience:
    """Since when each trouble is seen. `None` as patience means that a trouble counts at once."""

    clock: Callable[[], float] = time.monotonic
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def lasted(self, uid: str, code: str) -> float:
        """Return for how many seconds a trouble has been seen; it is from now on."""
        now = self.clock()
        return now - self._since.setdefault((uid, code), now)


class Conditions:
    """Tells the conditions of a release's workloads.

    `image_remedy` says how a missing image can be had, or nothing; `node_started` when each node was started last
    (RFC 3339), where that is known. With `reads_endpoints`, snapshots hold the Services' Endpoints as well.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        release: Callable[[], Release],
        image_remedy: Callable[[str], str],
        node_started: Callable[[], Mapping[str, str]],
        *,
        reads_endpoints: bool = False,
    ) -> None:
        self._reads_endpoints = reads_endpoints
        self._node_started = node_started
        self._kubectl = kubectl
        self._release = release
        self._image_remedy = image_remedy
        self._logs: dict[tuple[str, int], list[str]] = {}
        self._pulls: dict[str, str] = {}
        self._events: dict[str, tuple[float, str, str]] = {}

    def now(self, snapshot: Snapshot, patience: Patience | None = None) -> list[Workload]:
        """Return each workload's condition. With patience, only troubles that have lasted are findings."""
        release = self._release()
        return [
            self._workload(key_of(item, release.namespace), item, snapshot, patience)
            for item in release.objects
            if item["kind"] in WORKLOAD_KINDS
        ]

    def _workload(
        self, key: Key, wanted: Manifest, snapshot: Snapshot, patience: Patience | None
    ) -> Workload:
        live = snapshot.get(key)
        if live is None:
            return Workload(key.name, ready=False, condition="is not there", finding=_absent(key))
        pods = [read_pod(item) for item in selected(snapshot.of_kind("Pod"), live)]
        started = self._node_started()
        if any(is_history(pod, started) for pod in pods if not pod.deleting):
            return Workload(key.name, ready=False, condition="comes back after its node's start")
        ready = [pod for pod in pods if pod.ready and not pod.deleting]
        # What its controller counted may be from before a node's start as well: the pods themselves must say so.
        if is_rolled_out(live) and len(ready) >= int(live.get("spec", {}).get("replicas", 1)):
            return self._rolled_out(key, wanted, live, ready, snapshot)
        waiting = [pod for pod in pods if not pod.ready and not pod.deleting]
        if not waiting:
            condition = pods[0].condition if pods else "has no pod yet"
            finding = None if pods else self._refused(key, live, patience)
            return Workload(key.name, ready=False, condition=condition, finding=finding)
        pod = max(waiting, key=lambda item: (bool(item.reason), item.restarts))
        finding = self._finding(key, pod, snapshot, patience)
        return Workload(key.name, ready=False, condition=_words(pod), finding=finding)

    def _rolled_out(
        self, key: Key, wanted: Manifest, live: Manifest, pods: Sequence[Pod], snapshot: Snapshot
    ) -> Workload:
        if int(live.get("spec", {}).get("replicas", 1)) < int(wanted["spec"].get("replicas", 1)):
            return Workload(key.name, ready=False, condition="is scaled down")
        for service in services_of(live, snapshot.of_kind("Service")) if self._reads_endpoints else ():
            endpoints = snapshot.get(replace(key_of(service), kind="Endpoints"))
            if endpoints is None or not leads_to(endpoints, pods):
                name = key_of(service).label
                return Workload(key.name, ready=False, condition=f"{name} does not lead to it yet")
        return Workload(key.name, ready=True, condition="ready")

    def _finding(self, key: Key, pod: Pod, snapshot: Snapshot, patience: Patience | None) -> Finding | None:
        found = self._diagnose(key, pod, snapshot, patience)
        if found is None or patience is None:
            return found
        if patience.lasted(pod.uid, found.code) < GRACE_S.get(found.code, 0.0):
            return None
        return found if pod.reason in IMAGE_REASONS or found.code == NEVER_READY else _by_itself(found)

    def _diagnose(self, key: Key, pod: Pod, snapshot: Snapshot, patience: Patience | None) -> Finding | None:
        if pod.reason in IMAGE_REASONS:
            return diagnose_image(self._image_trouble(key, pod))
        if pod.reason in CONFIG_REASONS and STILL_STARTING not in pod.message:
            return diagnose_config(self._trouble(key, pod))
        if pod.reason in CRASH_REASONS | START_REASONS:
            if patience is not None and pod.restarts < CRASHES and not pod.killed_for_memory:
                return None
            return diagnose_crash(self._crash(key, pod))
        if pod.reason == "Unschedulable":
            claim = self._claim_trouble(key, pod, snapshot)
            return claim or diagnose_unschedulable(self._trouble(key, pod))
        if pod.reason == "ContainerCreating" and (
            patience is None or patience.lasted(pod.uid, "creating") > CREATING_S
        ):
            return self._mount_trouble(key, pod)
        if pod.started and not pod.ready and not pod.reason and self._has_waited(pod, patience):
            return _never_ready(key, pod)
        return None

    def _has_waited(self, pod: Pod, patience: Patience | None) -> bool:
        if patience is None:
            return is_unready_for_long(pod, time.time())
        return patience.lasted(pod.uid, "unready") > UNREADY_S

    def _refused(self, key: Key, live: Manifest, patience: Patience | None) -> Finding | None:
        """Say why a workload's pod cannot be made, where the cluster says so."""
        uid = str(live["metadata"].get("uid", ""))
        if patience is not None and patience.lasted(uid, "podless") < CREATING_S:
            return None
        reason, message = self._event(uid, key.namespace)
        if reason != "FailedCreate" or _OVERLOADED.search(message):
            return None
        command = self._kubectl.shown("-n", key.namespace, "describe", key.kind.lower(), key.name)
        remedy = Remedy("See what the cluster says, and correct the manifests.", command)
        return Finding(
            "pod-refused", f"{key.name} has no pod: the cluster refuses to make it.", message, remedy
        )

    def _trouble(self, key: Key, pod: Pod, lines: Sequence[str] = ()) -> Trouble:
        return Trouble(
            key.name,
            pod.name,
            pod.reason,
            pod.message,
            image=pod.image,
            exit_code=pod.exit_code,
            kubectl=self._kubectl.shown("-n", key.namespace),
            lines=lines,
        )

    def _image_trouble(self, key: Key, pod: Pod) -> Trouble:
        """Return what is known of an image that is not there. Between two tries, only the last try said why."""
        if pod.reason != "ImagePullBackOff":
            self._pulls[pod.uid] = pod.message
        message = self._pulls.get(pod.uid, pod.message)
        return replace(self._trouble(key, pod), message=message, image_remedy=self._image_remedy(pod.image))

    def _crash(self, key: Key, pod: Pod) -> Trouble:
        lines = self._last_words(pod)
        if pod.reason in START_REASONS:
            lines = [pod.message]
        trouble = self._trouble(key, pod, lines=lines)
        if not pod.killed_for_memory:
            return trouble
        return Trouble(key.name, pod.name, "OOMKilled", lines=lines, kubectl=trouble.kubectl)

    def _last_words(self, pod: Pod) -> list[str]:
        """Return the end of what the container logged before it ended, asked for once per end."""
        asked = (pod.uid, pod.restarts)
        if asked not in self._logs:
            arguments = ["logs", pod.name, "-n", pod.namespace, "-c", pod.container, f"--tail={LOG_TAIL}"]
            try:
                done = self._kubectl.attempt(*arguments, "--previous", timeout_s=10)
                if done.exit_code != 0:
                    done = self._kubectl.attempt(*arguments, timeout_s=10)
            except InstallError:
                return []
            self._logs[asked] = done.stdout.splitlines() if done.exit_code == 0 else []
        return self._logs[asked]

    def _claim_trouble(self, key: Key, pod: Pod, snapshot: Snapshot) -> Finding | None:
        pending = [
            item
            for item in snapshot.of_kind("PersistentVolumeClaim")
            if (item.get("status") or {}).get("phase") == "Pending"
            and key_of(item).namespace == pod.namespace
            and key_of(item).name.endswith(pod.name)
        ]
        for claim in pending:
            reason, message = self._event(str(claim["metadata"].get("uid", "")), pod.namespace)
            trouble = Trouble(key.name, key_of(claim).name, reason, message)
            if found := diagnose_claim(trouble):
                return found
        return None

    def _mount_trouble(self, key: Key, pod: Pod) -> Finding | None:
        reason, message = self._event(pod.uid, pod.namespace)
        if reason in {"FailedMount", "FailedAttachVolume"}:
            return diagnose_config(Trouble(key.name, pod.name, reason, message))
        return None

    def _event(self, uid: str, namespace: str) -> tuple[str, str]:
        """Return the reason and message of the last warning about an object; asked for at most every few seconds."""
        known = self._events.get(uid)
        if known and time.monotonic() - known[0] < 3.0:
            return known[1:]
        try:
            events = self._kubectl.items(
                "events", "-n", namespace, f"--field-selector=involvedObject.uid={uid},type=Warning"
            )
        except InstallError:
            events = []
        last = max(
            events, key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""), default={}
        )
        told = str(last.get("reason", "")), str(last.get("message", ""))
        self._events[uid] = (time.monotonic(), *told)
        return told


def _by_itself(finding: Finding) -> Finding:
    """Return what was found while waiting for what was just put in place: doing that once more heals nothing."""
    remedy = finding.remedy
    return replace(finding, remedy=replace(remedy, automatic=False) if remedy else None)


def _absent(key: Key) -> Finding:
    remedy = Remedy("Apply the manifests again.", REPAIR, Risk.RESTARTS, automatic=True)
    return Finding("workload-missing", f"{key.label} is not there.", remedy=remedy)


def _never_ready(key: Key, pod: Pod) -> Finding:
    remedy = Remedy("Start it anew, once.", REPAIR, Risk.RESTARTS, automatic=True)
    message = f"{key.name} runs and does not get ready: its readiness probe fails, or what it depends on."
    return Finding(NEVER_READY, message, f"{pod.name}, not ready since {pod.unready_since}", remedy)


def _words(pod: Pod) -> str:
    again = f" ({pod.restarts} restarts)" if pod.restarts else ""
    return pod.condition + again
