"""Workloads that lack pods: which, what is in the way of making them, and how their controller is told to try again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.diagnose import Diagnosis, diagnose, problem_of
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.reasons import BY_CONTROLLER, MISSING, SCALED_DOWN, WITHOUT_CAUSE
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.admission import Trial, webhook_facts
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.events import Events
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER, Key, Manifest, key_of
from contextcore_install.providers.kubernetes.owners import REPLICAS, decided_by, set_by
from contextcore_install.providers.kubernetes.pods import moment, selected

NUDGED = "contextcore-install/nudged"
"""The annotation that is touched to have a controller look at its workload. No pod has it: nothing is restarted."""

#: Seconds without a pod after which the API server is asked, events count, and count though it would take the pod.
ASK_S, EVENTS_S, OLD_EVENTS_S = 2.0, 10.0, 45.0
#: Seconds within which the controller of a workload that was just made has not even tried.
NEW_S = 10.0

Lasted = Callable[[str, str], float]
"""For how many seconds a trouble of a uid, by its code, has been seen."""


def wanted_pods(workload: Manifest) -> int:
    """Return how many pods a workload is to have."""
    if workload.get("kind") == "DaemonSet":
        return int((workload.get("status") or {}).get("desiredNumberScheduled", 0))
    return int((workload.get("spec") or {}).get("replicas", 1))


def is_scaled_down(wanted: Manifest, live: Manifest) -> bool:
    """Tell whether a workload has been given fewer pods than it should have."""
    return wanted_pods(live) < wanted_pods(wanted) if wanted.get("kind") != "DaemonSet" else False


class Podless:
    """Says why workloads have no pods, or fewer than they should."""

    def __init__(self, kubectl: Kubectl, events: Events) -> None:
        self._kubectl = kubectl
        self._events = events
        self._trial = Trial(kubectl)

    def absent(self, key: Key) -> Finding | None:
        """Return the finding for a workload that is not there."""
        return problem_of(Subject.WORKLOAD, Evidence(key.name, reason=MISSING, facts={"object": key.label}))

    def scaled_down(self, key: Key, wanted: Manifest, live: Manifest) -> Finding | None:
        """Return the finding for a workload that was scaled down: by whom, and whether it goes on deciding that."""
        decides, setter = decided_by(live, REPLICAS), set_by(live, REPLICAS)
        facts = {
            **self._facts(key),
            "replicas": str(wanted_pods(live)),
            "wanted": str(wanted_pods(wanted)),
            "by": f" by {setter}" if setter else "",
            "decides": decides,
            "manager": decides,
        }
        return problem_of(Subject.WORKLOAD, Evidence(key.name, reason=SCALED_DOWN, facts=facts))

    def refused(self, key: Key, live: Manifest, lasted: Lasted | None) -> Finding | None:
        """Say why a workload's pod is not made, where the cluster says so; without `lasted` at once."""
        uid = str(live["metadata"].get("uid", ""))
        waited = lasted(uid, "podless") if lasted else float("inf")
        if waited < ASK_S:
            return None
        said = self._trial.said(live)
        found = self._diagnosis(key, "FailedCreate", said) if said else None
        if found is None or found.rule.id in WITHOUT_CAUSE:
            found = self._told(key, live, waited if lasted else EVENTS_S, takes_it=said == "")
        return found.problem if found is not None and waited >= found.rule.grace_s else None

    def _told(self, key: Key, live: Manifest, waited: float, *, takes_it: bool) -> Diagnosis | None:
        """Return what the controller told: it may be over where the API server would take the pod from us."""
        if waited < EVENTS_S:
            return None
        found = self._diagnosis(key, *self._last_event(live, key.namespace))
        if takes_it and (found is None or found.rule.id not in BY_CONTROLLER):
            alone = self._diagnosis(key, "FailedCreate", self._trial.said_to_controller(live))
            found = alone if alone is not None and alone.rule.id in BY_CONTROLLER else found
        if found is None or not takes_it or found.rule.id in BY_CONTROLLER or waited >= OLD_EVENTS_S:
            return found
        return None

    def _last_event(self, live: Manifest, namespace: str) -> tuple[str, str]:
        """Return reason and message; of a Deployment, its ReplicaSet's last one, which it repeats."""
        for entry in (live.get("status") or {}).get("conditions") or []:
            if entry.get("type") == "ReplicaFailure" and entry.get("status") == "True":
                return str(entry.get("reason", "")), str(entry.get("message", ""))
        return self._events.last(str(live["metadata"].get("uid", "")), namespace)

    def _diagnosis(self, key: Key, reason: str, message: str) -> Diagnosis | None:
        facts = {**self._facts(key), **webhook_facts(self._kubectl, message)}
        return diagnose(Subject.WORKLOAD, Evidence(key.name, reason=reason, message=message, facts=facts))

    def _facts(self, key: Key) -> dict[str, str]:
        return {
            "workload": key.name,
            "kind": key.kind.lower(),
            "namespace": key.namespace,
            "kubectl": self._kubectl.shown("-n", key.namespace),
        }


def nudge(kubectl: Kubectl, workload: Manifest, pods: Sequence[Manifest], ctx: StepContext) -> None:
    """Have a workload that lacks pods looked at now: its controller waits ever longer after each refusal.

    Not one that was just made. What the cluster refuses of that is left to those who wait for the pods.
    """
    made = moment(str(workload["metadata"].get("creationTimestamp", "")))
    if time.time() - made < NEW_S or len(selected(pods, workload)) >= wanted_pods(workload):
        return
    key, now = key_of(workload), datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        done = kubectl.attempt(
            "annotate", key.kind.lower(), key.name, "-n", key.namespace, f"{NUDGED}={now}", "--overwrite",
            f"--field-manager={FIELD_MANAGER}", ctx=ctx,
        )  # fmt: skip
    except InstallError as error:
        ctx.output(f"{key.label} could not be touched: {error.message}")
        return
    ctx.output(done.stderr.strip() or f"{key.label} lacks pods; its controller is told to try again")
