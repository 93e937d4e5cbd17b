"""Pods that are to be started anew: which, and why. Kubernetes makes what is deleted of a workload anew at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis import reasons
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Manifest, containers, key_of, pod_specs
from contextcore_install.providers.kubernetes.owners import last_changed_by_others
from contextcore_install.providers.kubernetes.pods import Pod, moment, read_pod, selected

#: Seconds for which a pod that has started may be not ready, before that counts as getting nowhere.
UNREADY_S = 45.0
#: Tries to delete a pod as it was read, while its kubelet goes on writing what it says of it.
DELETE_TRIES = 3
CLAIM_GONE = re.compile(r"persistentvolumeclaim \"(?P<claim>[^\"]+)\" (not found|is being deleted)")
"""What the scheduler says (Kubernetes, volumebinding and nodevolumelimits) of a claim that somebody has deleted.

It says so too of one that was made a moment ago and that it has not heard of.
"""


def getting_nowhere(
    workload: Manifest, pods: Sequence[Manifest], claims: Sequence[Manifest], now: float
) -> Iterator[tuple[Pod, str]]:
    """Yield a workload's pods that a new start may help, each with the cause in words; `now` in seconds since 1970."""
    wanted = str((workload.get("status") or {}).get("updateRevision", ""))
    for pod in map(read_pod, selected(pods, workload)):
        if pod.deleting:
            continue
        if pod.reason in reasons.BACKING_OFF:
            yield pod, pod.condition
        elif not pod.ready and wanted and pod.revision and pod.revision != wanted:
            yield pod, "is not ready, and not as it should be any more"
        elif is_unready_for_long(pod, now):
            yield pod, "runs and does not get ready"
        elif pod.reason == "Unschedulable" and _lacks_its_claim(pod, claims):
            yield pod, "lacks its claim, which is made with a new pod only"


def is_unready_for_long(pod: Pod, now: float) -> bool:
    """Tell whether a pod has started, and is not ready since `UNREADY_S` seconds or more."""
    return pod.started and not pod.ready and 0 < moment(pod.unready_since) < now - UNREADY_S


def _lacks_its_claim(pod: Pod, claims: Sequence[Manifest]) -> bool:
    told = CLAIM_GONE.search(pod.message)
    return told is not None and not any(
        metadata.get("name") == told["claim"]
        and metadata.get("namespace") == pod.namespace
        and not metadata.get("deletionTimestamp")
        for metadata in (claim.get("metadata") or {} for claim in claims)
    )


def misled(edited: Sequence[Manifest], pods: Sequence[Manifest]) -> Iterator[tuple[Pod, str]]:
    """Yield pods that have read a ConfigMap or Secret after somebody else had changed it, each with its name.

    They go on with what they have read when it is put right. `edited` is as it was before that.
    """
    for item in edited:
        if item.get("kind") not in {"ConfigMap", "Secret"}:
            continue
        key, since = key_of(item), last_changed_by_others(item)
        for found in pods:
            pod = read_pod(found)
            if (
                since
                and pod.namespace == key.namespace
                and pod.running_since > since
                and not pod.deleting
                and key.name in _read_by(found)
            ):
                yield pod, key.label


def end_pod(kubectl: Kubectl, pod: Pod, ctx: StepContext) -> None:
    """Delete a pod. Raises InstallError."""
    kubectl.call("delete", "pod", pod.name, "-n", pod.namespace, "--wait=false", "--ignore-not-found", ctx=ctx)


def end_unstarted(kubectl: Kubectl, pod: Pod, ctx: StepContext) -> bool:
    """Delete a pod at once if none of its containers has ever been made, and tell whether that was done.

    A kubelet that waits between two tries takes half a minute to let such a pod go, whatever its grace period; there is
    nothing in it that could be cut off. The API deletes it only as it was read. Raises InstallError.
    """
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
    for _ in range(DELETE_TRIES):
        read = kubectl.items("pod", pod.name, "-n", pod.namespace, ctx=ctx)
        found = next((item for item in read if item["metadata"].get("uid") == pod.uid), None)
        if found is None:
            return True  # it has gone meanwhile
        if not never_started(found):
            return False
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod.uid, "resourceVersion": found["metadata"].get("resourceVersion", "")},
        }
        done = kubectl.attempt("delete", "--raw", path, "-f", "-", stdin=json.dumps(options), ctx=ctx)
        if done.exit_code == 0:
            return True
        ctx.output(done.stderr.strip())
    return False


def never_started(item: Manifest) -> bool:
    """Tell whether a pod's JSON says of every container that it waits, and that it was never made."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    kinds = ("initContainer", "container", "ephemeralContainer")
    told = [entry for kind in kinds for entry in status.get(f"{kind}Statuses") or []]
    return len(told) == sum(len(spec.get(f"{kind}s") or []) for kind in kinds) and all(
        (entry.get("state") or {}).get("waiting")
        and not (entry.get("containerID") or entry.get("lastState") or entry.get("restartCount"))
        for entry in told
    )


def _read_by(pod: Manifest) -> set[str]:
    """Return the names of the ConfigMaps and Secrets that a pod reads."""
    found = set()
    for spec in pod_specs(pod):
        for volume in spec.get("volumes") or []:
            found |= {
                str((volume.get("configMap") or {}).get("name", "")),
                str((volume.get("secret") or {}).get("secretName", "")),
            }
    for container in containers(pod):
        for source in (entry.get("valueFrom") or {} for entry in container.get("env") or []):
            found |= {str((source.get(kind) or {}).get("name", "")) for kind in ("configMapKeyRef", "secretKeyRef")}
    return found - {""}
