"""Why workloads lack pods, and pods lack a node: what the API server refuses, what controllers and nodes report."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.diagnosis.diagnose import Diagnosis, Evidence, diagnose, problem_of
from contextcore_install.diagnosis.reasons import BY_CONTROLLER, SCALED_DOWN, WITHOUT_CAUSE
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.client import Reader, Snapshot
from contextcore_install.providers.kubernetes.managed_fields import REPLICAS, decided_by, set_by
from contextcore_install.providers.kubernetes.objects import API, Key, Manifest
from contextcore_install.providers.kubernetes.pods import Pod

#: Seconds without a pod after which the API server is asked, events count, and count though it would take the pod.
ASK_S, EVENTS_S, OLD_EVENTS_S = 2.0, 10.0, 45.0
#: Seconds within which the controllers of a new cluster may not even have started.
NEW_S = 30.0
#: Seconds for a dry run (each webhook on its way may take up to its own limit), and for which its result is cached.
DRY_RUN_S, FRESH_S = 15.0, 10.0
# As the API says it (k8s.io/apiserver, responsewriters/errors.go)
_REFUSED_TO_US = re.compile(r'cannot create resource "pods"')
_SELECTED = "volume.kubernetes.io/selected-node"  # annotation of a claim: the node that its volume was made on
_CONTROL_PLANE = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_SYSTEM = "node.kubernetes.io/"  # prefix of the taints that Kubernetes itself puts on nodes, and removes again


class MissingPods:
    """Finds out why workloads lack pods: by a dry run, as events are aggregated, and old once a cause is gone."""

    def __init__(self, reader: Reader) -> None:
        self._kubectl = reader.kubectl
        self._reader = reader
        self._refusals: dict[str, tuple[float, str | None]] = {}

    def scaled_down(self, key: Key, wanted: Manifest, live: Manifest) -> Finding | None:
        """Return the finding for a workload that was scaled down: by whom, and whether it keeps deciding that."""
        decides, setter = decided_by(live, REPLICAS), set_by(live, REPLICAS)
        facts = self._facts(key) | {"replicas": str(live.replicas), "wanted": str(wanted.replicas)}
        facts |= {"by": f" by {setter}" if setter else "", "decides": decides, "manager": decides}
        return problem_of(Subject.WORKLOAD, Evidence(key.name, reason=SCALED_DOWN, facts=facts))

    def refused(self, key: Key, live: Manifest, lasted: Callable[[str, str], float] | None) -> Finding | None:
        """Return why a workload's pod is not made, if the cluster says so; without `lasted` at once.

        That returns for how many seconds a trouble of a uid, by its code, has been seen.
        """
        waited = lasted(live.uid, "podless") if lasted else float("inf")
        if waited < ASK_S or (not lasted and abs(time.time() - live.made_at) < NEW_S):
            return None
        refusal = self.refusal(live)
        found = self._diagnosis(key, "FailedCreate", refusal) if refusal else None
        if found is None or found.rule.id in WITHOUT_CAUSE:
            found = self._reported(key, live, waited if lasted else EVENTS_S, is_accepted=refusal == "")
        return found.problem if found is not None and waited >= found.rule.grace_s else None

    def _reported(self, key: Key, live: Manifest, waited: float, *, is_accepted: bool) -> Diagnosis | None:
        """Return what the controller reports: it may be over if the API server would take the pod from us."""
        if waited < EVENTS_S:
            return None
        found = self._diagnosis(key, *self._last_event(live, key.namespace))
        if not is_accepted or (found and found.rule.id in BY_CONTROLLER):
            return found
        alone = self._diagnosis(key, "FailedCreate", self._refusal_to_controller(live))
        if alone and alone.rule.id in BY_CONTROLLER:
            return alone
        return found if waited >= OLD_EVENTS_S else None

    def _last_event(self, live: Manifest, namespace: str) -> tuple[str, str]:
        """Return reason and message; of a Deployment, its ReplicaSet's last one, which it repeats."""
        failure = live.conditions.get("ReplicaFailure", {})
        if failure.get("status") == "True":
            return str(failure.get("reason", "")), str(failure.get("message", ""))
        return self._reader.last_event(live.uid, namespace)

    def _diagnosis(self, key: Key, reason: str, message: str) -> Diagnosis | None:
        facts = {**self._facts(key), **self._kubectl.webhook_facts(message)}
        return diagnose(Subject.WORKLOAD, Evidence(key.name, reason=reason, message=message, facts=facts))

    def _facts(self, key: Key) -> dict[str, str]:
        kubectl = self._kubectl.shown("-n", key.namespace)
        return {"workload": key.name, "kind": key.kind.lower(), "namespace": key.namespace, "kubectl": kubectl}

    def refusal(self, workload: Manifest) -> str | None:
        """Return what the API server objects to in a workload's pod: empty if nothing, None if unknown."""
        known = self._refusals.get(workload.uid)
        if known is None or time.monotonic() - known[0] >= FRESH_S:
            known = self._refusals[workload.uid] = (time.monotonic(), self._dry_run(workload))
        # What this user may not do says nothing of what a controller may.
        return None if known[1] and _REFUSED_TO_US.search(known[1]) else known[1]

    def _refusal_to_controller(self, workload: Manifest) -> str:
        """Return what the API server says to a controller that may not make pods, nor write events of that."""
        controller = API["controllers"].get(workload.get("kind"), "")
        account = f"system:serviceaccount:kube-system:{controller}"
        found = self._dry_run(workload, f"--as={account}") or ""
        # This user may have no right to ask in another's name, and is refused in much the same words.
        return found if f'"{account}" cannot create' in found else ""

    def _dry_run(self, workload: Manifest, *options: str) -> str | None:
        arguments = ("create", *options, "--dry-run=server", "-o", "name", "-f", "-")
        try:
            done = self._kubectl.attempt(*arguments, stdin=json.dumps(pod_of(workload)), timeout_s=DRY_RUN_S)
        except InstallError:
            return None
        return done.stderr.strip() or None if done.exit_code else ""


def pod_of(workload: Manifest) -> dict[str, Any]:
    """Return a pod as a workload's controller would make it, but for its name."""
    key, template, claims = workload.key, workload.spec.get("template", {}), workload.claim_templates
    about, spec = template.get("metadata", {}), dict(template.get("spec", {}))
    spec["volumes"] = [
        *(volume for volume in spec.get("volumes", []) if volume.get("name") not in claims),
        *({"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{key.name}-0"}} for claim in claims),
    ]
    metadata = {name: about[name] for name in ("labels", "annotations") if about.get(name)}
    metadata |= {"generateName": f"{key.name}-", "namespace": key.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def scheduling_facts(reader: Reader, pod: Pod, snapshot: Snapshot) -> dict[str, str]:
    """Return which nodes keep a pod away, and by what: the scheduler names neither. Empty facts do not apply."""
    facts = dict.fromkeys(("tainted", "taint", "untaint", "gone", "cordoned", "uncordon"), "")
    own_nodes = snapshot.of_kind("Node")
    nodes = {node.key.name: node for node in own_nodes or reader.nodes.read()}
    needed = _needed_nodes(pod, snapshot)
    if nodes and (gone := sorted(needed - set(nodes))):
        return {**facts, "gone": ", ".join(gone)}
    workers = [name for name, node in nodes.items() if _CONTROL_PLANE.isdisjoint(node.labels)]
    candidates = {name: nodes[name] for name in sorted(needed & set(nodes)) or workers}
    if not candidates:
        return facts
    barred = {name: taint for name, node in candidates.items() if (taint := _barring_taint(node, pod))}
    if len(barred) == len(candidates):
        named = {taint: [name for name in barred if barred[name] == taint] for taint in barred.values()}
        untaint = (reader.kubectl.shown("taint", "nodes", *names, f"{taint}-") for taint, names in named.items())
        return {**facts, "tainted": ", ".join(barred), "taint": " and ".join(named), "untaint": "; ".join(untaint)}
    # Nodes of a cluster that is ours as a whole take pods again by themselves.
    if not own_nodes and all(node.spec.get("unschedulable") for node in candidates.values()):
        facts |= {"cordoned": ", ".join(candidates), "uncordon": reader.kubectl.shown("uncordon", *candidates)}
    return facts


def _needed_nodes(pod: Manifest, snapshot: Snapshot) -> set[str]:
    keys = (Key("PersistentVolumeClaim", pod.key.namespace, name) for name in pod.mounted_claims.values())
    claims = (claim for key in keys if (claim := snapshot.get(key)) and claim.spec.get("volumeName"))
    return {claim.annotations.get(_SELECTED, "") for claim in claims} - {""}


def _barring_taint(node: Manifest, pod: Manifest) -> str:
    """Return the first taint of a node, as `kubectl taint` takes it, that keeps a pod away; empty if none does."""
    tolerations = pod.spec.get("tolerations", [])
    for taint in node.spec.get("taints", []):
        key, effect = str(taint.get("key", "")), taint.get("effect")
        bars = effect in {"NoSchedule", "NoExecute"} and not key.startswith(_SYSTEM)
        if bars and not any(_tolerates(toleration, taint) for toleration in tolerations):
            return key + (f"={taint['value']}" if taint.get("value") else "") + f":{effect}"
    return ""


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Tell whether a toleration fits a taint (k8s.io/api/core/v1, Toleration.ToleratesTaint)."""
    exists, key = toleration.get("operator") == "Exists", toleration.get("key")
    return (
        toleration.get("effect") in {None, "", taint.get("effect")}
        and (key == taint.get("key") or (exists and not key))
        and (exists or toleration.get("value", "") == taint.get("value", ""))
    )
