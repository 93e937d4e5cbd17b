"""How each workload is: does it run what it should, and if not, what keeps it and what would heal it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.hints import RESUME
from contextcore_install.core.provider import Workload
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import READ_LINES, Diagnosis, diagnose
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.claims import StorageClasses
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.events import Events
from contextcore_install.providers.kubernetes.objects import Key, Manifest, key_of
from contextcore_install.providers.kubernetes.placing import Placing
from contextcore_install.providers.kubernetes.podless import Podless, is_scaled_down, wanted_pods
from contextcore_install.providers.kubernetes.pods import (
    Pod,
    is_history,
    is_rolled_out,
    leads_to,
    read_pod,
    selected,
    services_of,
)
from contextcore_install.providers.kubernetes.render import Release
from contextcore_install.providers.kubernetes.snapshot import Snapshot
from contextcore_install.providers.kubernetes.starting import UNREADY_S, is_unready_for_long

WORKLOAD_KINDS = ("StatefulSet", "Deployment", "DaemonSet")

#: After how many restarts a crash is no accident.
CRASHES = 2
#: Seconds in ContainerCreating after which the events are asked why.
CREATING_S = 10.0


@dataclass
class WaitLimits:
    """Since when each trouble is seen. `None` as patience means that a trouble counts at once."""

    clock: Callable[[], float] = time.monotonic
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def lasted(self, uid: str, code: str) -> float:
        """Return for how many seconds a trouble has been seen; it is from now on."""
        now = self.clock()
        return now - self._since.setdefault((uid, code), now)


class WorkloadConditions:
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
        self._events = Events(kubectl)
        self._podless = Podless(kubectl, self._events)
        self._placing = Placing(kubectl)
        self._classes = StorageClasses(kubectl)

    def now(self, snapshot: Snapshot, patience: WaitLimits | None = None) -> list[Workload]:
        """Return each workload's condition. With patience, only troubles that have lasted are findings."""
        release = self._release()
        return [
            self._workload(key_of(item, release.namespace), item, snapshot, patience)
            for item in release.objects
            if item["kind"] in WORKLOAD_KINDS
        ]

    def _workload(self, key: Key, wanted: Manifest, snapshot: Snapshot, patience: WaitLimits | None) -> Workload:
        live = snapshot.get(key)
        if live is None:
            return Workload(key.name, ready=False, condition="is not there", finding=self._podless.absent(key))
        pods = [read_pod(item) for item in selected(snapshot.of_kind("Pod"), live)]
        started = self._node_started()
        if any(is_history(pod, started) for pod in pods if not pod.deleting):
            return Workload(key.name, ready=False, condition="comes back after its node's start")
        if is_scaled_down(wanted, live):
            finding = self._podless.scaled_down(key, wanted, live)
            return Workload(key.name, ready=False, condition="is scaled down", finding=finding)
        ready = [pod for pod in pods if pod.ready and not pod.deleting]
        # What its controller counted may be from before a node's start as well: the pods themselves must say so.
        if is_rolled_out(live) and len(ready) >= int(live.get("spec", {}).get("replicas", 1)):
            return self._rolled_out(key, live, ready, snapshot)
        waiting = [pod for pod in pods if not pod.ready and not pod.deleting]
        if not waiting:
            condition = pods[0].condition if pods else "has no pod yet"
            lacking = len(pods) < wanted_pods(live)
            finding = self._podless.refused(key, live, patience.lasted if patience else None) if lacking else None
            return Workload(key.name, ready=False, condition=condition, finding=finding)
        pod = max(waiting, key=lambda item: (bool(item.reason), item.restarts))
        found = self._diagnose(key, pod, snapshot, patience)
        condition = found.condition if found and found.condition else _words(pod)
        return Workload(key.name, ready=False, condition=condition, finding=self._counted(found, pod, patience))

    def _rolled_out(self, key: Key, live: Manifest, pods: Sequence[Pod], snapshot: Snapshot) -> Workload:
        for service in services_of(live, snapshot.of_kind("Service")) if self._reads_endpoints else ():
            endpoints = snapshot.get(replace(key_of(service), kind="Endpoints"))
            if endpoints is None or not leads_to(endpoints, pods):
                name = key_of(service).label
                return Workload(key.name, ready=False, condition=f"{name} does not lead to it yet")
        return Workload(key.name, ready=True, condition="ready")

    def _counted(self, found: Diagnosis | None, pod: Pod, patience: WaitLimits | None) -> Finding | None:
        """Return the finding, once it has lasted; `automatic` only where doing it again may help."""
        if found is None or (finding := found.problem) is None:
            return None
        image = pod.reason in reasons.IMAGE
        if image and not self._image_remedy(pod.image):
            finding = _by_hand(finding)
        if patience is None:
            return finding
        if patience.lasted(pod.uid, finding.code) < found.rule.grace_s:
            return None
        # What was just put in place is waited for: to do that once more heals nothing.
        again = image or finding.code == reasons.POD_NEVER_READY or found.rule.id == reasons.CLAIM_BEFORE_CLASS
        return finding if again else _by_hand(finding)

    def _diagnose(self, key: Key, pod: Pod, snapshot: Snapshot, patience: WaitLimits | None) -> Diagnosis | None:
        if pod.reason == reasons.UNSCHEDULABLE:
            claim = self._claim(key, pod, snapshot)
            if claim is not None and claim.problem is not None:
                return claim
        evidence = self._evidence(key, pod, patience)
        if evidence is None:
            return None
        facts = {**evidence.facts, "lacked": _lacked(evidence.message, pod.namespace, snapshot)}
        if pod.reason == reasons.UNSCHEDULABLE:
            facts |= self._placing.facts(pod, snapshot)
        return diagnose(Subject.POD, replace(evidence, facts=facts))

    def _evidence(self, key: Key, pod: Pod, patience: WaitLimits | None) -> Evidence | None:
        """Return what is known of what keeps a pod; None where that need not be anything yet."""
        about = partial(Evidence, key.name, facts=self._facts(key, pod))
        if pod.reason in reasons.IMAGE:
            return about(reason=pod.reason, message=self._refusal(pod))
        if pod.reason in reasons.CRASH | reasons.START:
            if patience is not None and pod.restarts < CRASHES and not pod.killed_for_memory:
                return None
            reason = reasons.OUT_OF_MEMORY if pod.killed_for_memory else pod.reason
            return about(self._last_words(pod), pod.exit_code, reason)
        if pod.reason == "ContainerCreating":
            if patience is not None and patience.lasted(pod.uid, "creating") <= CREATING_S:
                return None
            reason, message = self._events.last(pod.uid, pod.namespace)
            return about(reason=reason, message=message)
        if pod.reason:
            return about(reason=pod.reason, message=pod.message)
        if pod.started and not pod.ready and self._has_waited(pod, patience):
            reason, message = self._events.last(pod.uid, pod.namespace)
            since = f"{pod.name}, not ready since {pod.unready_since}"
            said = message if reason == "Unhealthy" else ""
            return about([since], reason=reasons.NEVER_READY, message=said)
        return None

    def _has_waited(self, pod: Pod, patience: WaitLimits | None) -> bool:
        if patience is None:
            return is_unready_for_long(pod, time.time())
        return patience.lasted(pod.uid, "unready") > UNREADY_S

    def _facts(self, key: Key, pod: Pod) -> dict[str, str]:
        """Return what the sentences about a pod need to know."""
        kubectl = self._kubectl.shown("-n", key.namespace)
        remedy = self._image_remedy(pod.image)
        return {
            "workload": key.name,
            "pod": pod.name,
            "image": pod.image,
            "kubectl": kubectl,
            "image_remedy": remedy or "Correct the image's name, or make it available to the cluster.",
            "image_command": RESUME if remedy else f"{kubectl} describe pod {pod.name}",
        }

    def _refusal(self, pod: Pod) -> str:
        """Return why an image is not there. Between two tries, only the last try said why: to us, or in an event."""
        if pod.reason != "ImagePullBackOff":
            self._pulls[pod.uid] = pod.message
        elif pod.uid not in self._pulls:
            events = self._events.about(pod.uid, pod.namespace)
            tries = [message for _, message in events if "Failed to pull image" in message]
            return tries[-1] if tries else pod.message
        return self._pulls[pod.uid]

    def _claim(self, key: Key, pod: Pod, snapshot: Snapshot) -> Diagnosis | None:
        """Return what keeps the first of a pod's claims that has no volume."""
        for item in snapshot.of_kind("PersistentVolumeClaim"):
            claim = key_of(item)
            phase = (item.get("status") or {}).get("phase")
            if (
                phase not in {"Pending", "Lost"}
                or claim.namespace != pod.namespace
                or not claim.name.endswith(pod.name)
            ):
                continue
            reason, message = self._events.last(str(item["metadata"].get("uid", "")), pod.namespace)
            default = self._classes.default_for(item)
            facts = {**self._facts(key, pod), "claim": claim.name, "default": default}
            lines = [f"{claim.name}: {reason}"]
            found = diagnose(Subject.CLAIM, Evidence(key.name, lines, reason=reason, message=message, facts=facts))
            if found is not None and found.problem is not None:
                return found
        return None

    def _last_words(self, pod: Pod) -> list[str]:
        """Return the end of what the container logged before it ended, asked for once per end; else why it ended."""
        if pod.reason in reasons.START:
            return [pod.message]
        asked = (pod.uid, pod.restarts)
        if asked not in self._logs:
            arguments = ["logs", pod.name, "-n", pod.namespace, "-c", pod.container, f"--tail={READ_LINES}"]
            try:
                done = self._kubectl.attempt(*arguments, "--previous", timeout_s=10)
                if done.exit_code != 0:
                    done = self._kubectl.attempt(*arguments, timeout_s=10)
            except InstallError:
                return []
            self._logs[asked] = done.stdout.splitlines() if done.exit_code == 0 else []
        return self._logs[asked] or ([pod.ended_with] if pod.ended_with else [])


def _lacked(message: str, namespace: str, snapshot: Snapshot) -> str:
    """Say how that is now of which a message says that it was not found."""
    there = (
        f'{kind.lower()} "{key_of(item).name}" not found'
        for kind in ("ConfigMap", "Secret")
        for item in snapshot.of_kind(kind)
        if key_of(item).namespace == namespace
    )
    return "there again" if any(words in message for words in there) else "gone"


def _by_hand(finding: Finding) -> Finding:
    """Return a finding whose remedy is not carried out by applying the step again."""
    remedy = finding.remedy
    return replace(finding, remedy=replace(remedy, automatic=False) if remedy else None)


def _words(pod: Pod) -> str:
    again = f" ({pod.restarts} restarts)" if pod.restarts else ""
    return pod.condition + again
