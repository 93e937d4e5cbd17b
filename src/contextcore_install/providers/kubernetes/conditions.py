"""How each workload is: does it run what it should, and if not, what keeps it and what would heal it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import RESUME, InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.provider import Workload
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.diagnose import READ_LINES, Diagnosis, Evidence, diagnose, problem_of
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.blocked_pods import MissingPods, scheduling_facts
from contextcore_install.providers.kubernetes.claims import default_class
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import Key, Manifest
from contextcore_install.providers.kubernetes.pods import UNREADY_S, Pod, pods_of, services_of

CRASHES = 2  # restarts after which a crash is no accident
PLACING_S, CREATING_S = 5.0, 10.0  # without a node, and in ContainerCreating, after which the events are asked why


@dataclass
class WaitLimits:
    """Since when each trouble is seen. Without limits, a trouble counts at once."""

    clock: Callable[[], float] = time.monotonic
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def lasted(self, uid: str, code: str) -> float:
        """Return for how many seconds a trouble has been seen; it is from now on."""
        now = self.clock()
        return now - self._since.setdefault((uid, code), now)


class WorkloadConditions:
    """The conditions of a release's workloads."""

    def __init__(
        self, reader: Reader, image_remedy: Callable[[str], str], nodes_started: Callable[[], Mapping[str, str]]
    ) -> None:
        self._kubectl = reader.kubectl
        self._reader = reader
        self._image_remedy = image_remedy
        self._nodes_started = nodes_started
        self._logs: dict[tuple[str, int], list[str]] = {}
        self._pulls: dict[str, str] = {}
        self._missing_pods = MissingPods(reader)

    def now(self, snapshot: Snapshot, limits: WaitLimits | None = None) -> list[Workload]:
        """Return each workload's condition. With limits, only troubles that have lasted are findings."""
        workloads = self._reader.release().workloads
        return [self._condition(key, wanted, snapshot, limits) for key, wanted in workloads.items()]

    def _condition(self, key: Key, wanted: Manifest, snapshot: Snapshot, limits: WaitLimits | None) -> Workload:
        live, not_ready = snapshot.get(key), partial(Workload, key.name, ready=False)
        if live is None:
            absent = Evidence(key.name, reason=reasons.MISSING, facts={"object": key.label})
            return not_ready(condition="is not there", finding=problem_of(Subject.WORKLOAD, absent))
        pods = pods_of(live, snapshot)
        staying, started = [pod for pod in pods if not pod.is_deleting], self._nodes_started()
        if any(pod.is_history(started) for pod in staying):
            return not_ready(condition="restarts with its node")
        if live.replicas < wanted.replicas:
            finding = self._missing_pods.scaled_down(key, wanted, live)
            return not_ready(condition="is scaled down", finding=finding)
        ready = [pod for pod in staying if pod.is_ready]
        # What its controller counted may be from before a node's start as well: the pods themselves must say so.
        if live.is_rolled_out and len(ready) >= live.replicas:
            if unreachable := self._unreachable(live, ready, snapshot):
                return not_ready(condition=unreachable)
            return Workload(key.name, ready=True, condition="ready")
        waiting = [pod for pod in staying if not pod.is_ready]
        if not waiting:
            lacking = len(pods) < live.replicas
            finding = self._missing_pods.refused(key, live, limits.lasted if limits else None) if lacking else None
            return not_ready(condition=pods[0].condition if pods else "has no pod yet", finding=finding)
        pod = max(waiting, key=lambda item: (bool(item.reason), item.restarts))
        found = self._diagnose(key, pod, snapshot, limits)
        restarts = f" ({pod.restarts} restarts)" if pod.restarts else ""
        condition = found.condition if found and found.condition else pod.condition + restarts
        return not_ready(condition=condition, finding=self._counted(found, pod, limits))

    def _unreachable(self, live: Manifest, pods: Sequence[Pod], snapshot: Snapshot) -> str:
        """Return which Service does not lead to a workload's pods yet; empty if all do."""
        for service in services_of(live, snapshot) if self._reader.owns_nodes else ():
            endpoints = snapshot.get(service.key._replace(kind="Endpoints"))
            if endpoints is None or not leads_to(endpoints, pods):
                return f"{service.key.label} does not route to it yet"
        return ""

    def _counted(self, found: Diagnosis | None, pod: Pod, limits: WaitLimits | None) -> Finding | None:
        """Return the finding, once it has lasted; `automatic` only if applying the step again may help."""
        if found is None or (finding := found.problem) is None:
            return None
        if limits and limits.lasted(pod.uid, finding.code) < found.rule.grace_s:
            return None
        lacks_image = pod.reason in reasons.IMAGE
        # What was just put in place is waited for: to do that once more heals nothing.
        again = lacks_image or finding.code == reasons.POD_NEVER_READY or found.rule.id == reasons.CLAIM_BEFORE_CLASS
        by_hand = (limits and not again) or (lacks_image and not self._image_remedy(pod.image))
        if by_hand and finding.remedy:
            return replace(finding, remedy=replace(finding.remedy, automatic=False))
        return finding

    def _diagnose(self, key: Key, pod: Pod, snapshot: Snapshot, limits: WaitLimits | None) -> Diagnosis | None:
        is_unschedulable = pod.reason == reasons.UNSCHEDULABLE
        if is_unschedulable and limits and limits.lasted(pod.uid, "unplaced") < PLACING_S:
            return None
        if is_unschedulable and (claim := self._diagnose_claims(key, pod, snapshot)):
            return claim
        evidence = self._evidence(key, pod, limits)
        if evidence is None:
            return None
        facts = {**evidence.facts, "lacked": _lacked(evidence.message, pod.namespace, snapshot)}
        if is_unschedulable:
            facts |= scheduling_facts(self._reader, pod, snapshot)
        return diagnose(Subject.POD, replace(evidence, facts=facts))

    def _evidence(self, key: Key, pod: Pod, limits: WaitLimits | None) -> Evidence | None:
        """Return what is known of what keeps a pod; None if that need not be anything yet."""
        about = partial(Evidence, key.name, facts=self._facts(key, pod))
        if pod.reason in reasons.IMAGE:
            return about(reason=pod.reason, message=self._refused_pull(pod))
        if pod.reason in reasons.CRASH | reasons.START:
            if limits and pod.restarts < CRASHES and not pod.killed_for_memory:
                return None
            reason = reasons.OUT_OF_MEMORY if pod.killed_for_memory else pod.reason
            return about(self._last_words(pod), pod.exit_code, reason)
        if pod.reason == "ContainerCreating":
            if limits and limits.lasted(pod.uid, "creating") <= CREATING_S:
                return None
            reason, message = self._reader.last_event(pod.uid, pod.namespace)
            return about(reason=reason, message=message)
        if pod.reason:
            return about(reason=pod.reason, message=pod.message)
        if not pod.started or pod.is_ready:
            return None
        if limits.lasted(pod.uid, "unready") > UNREADY_S if limits else pod.is_unready_for_long(time.time()):
            reason, message = self._reader.last_event(pod.uid, pod.namespace)
            since = f"{pod.name}, not ready since {pod.unready_since}"
            return about([since], reason=reasons.NEVER_READY, message=message if reason == "Unhealthy" else "")
        return None

    def _facts(self, key: Key, pod: Pod) -> dict[str, str]:
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

    def _refused_pull(self, pod: Pod) -> str:
        """Return why an image is not there. Between two tries, only the last try said why: to us, or in an event."""
        if pod.reason != "ImagePullBackOff":
            self._pulls[pod.uid] = pod.message
        elif pod.uid not in self._pulls:
            events = self._reader.events(pod.uid, pod.namespace)
            tries = [message for _, message in events if "Failed to pull image" in message]
            return tries[-1] if tries else pod.message
        return self._pulls[pod.uid]

    def _diagnose_claims(self, key: Key, pod: Pod, snapshot: Snapshot) -> Diagnosis | None:
        for item in snapshot.of_kind("PersistentVolumeClaim"):
            claim, phase = item.key, item.status.get("phase")
            is_its = claim.namespace == pod.namespace and claim.name.endswith(pod.name)
            if phase not in {"Pending", "Lost"} or not is_its:
                continue
            reason, message = self._reader.last_event(item.uid, pod.namespace)
            facts = {**self._facts(key, pod), "claim": claim.name, "default": default_class(item, self._reader)}
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
    """Return how the object is now that a message calls not found."""
    keys = (item.key for kind in ("ConfigMap", "Secret") for item in snapshot.of_kind(kind))
    there = (f'{key.kind.lower()} "{key.name}" not found' for key in keys if key.namespace == namespace)
    return "there again" if any(words in message for words in there) else "gone"


def leads_to(endpoints: Manifest, pods: Sequence[Pod]) -> bool:
    """Tell whether a Service's Endpoints hold its pods' addresses: for some 20 s after a node's start, they are old."""
    subsets = endpoints.get("subsets", [])
    held = {str(address.get("ip")) for subset in subsets for address in subset.get("addresses", [])}
    return held >= {pod.address for pod in pods}
