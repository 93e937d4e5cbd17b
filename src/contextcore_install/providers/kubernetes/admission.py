"""Asks the API server what it would take, and names the configuration of a webhook that it speaks of."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.objects import Manifest, key_of

if TYPE_CHECKING:
    from contextcore_install.providers.kubernetes.client import Kubectl

ASK_S = 15.0
"""Seconds for a dry run: each webhook on its way may take up to its own limit."""
FRESH_S = 3.0
# As the API says it (k8s.io/apiserver, responsewriters/errors.go)
_OURS = re.compile(r'cannot create resource "pods"')
_CONTROLLERS = {
    "StatefulSet": "statefulset-controller",
    "DaemonSet": "daemon-set-controller",
    "Deployment": "replicaset-controller",
}
_CONFIGURATIONS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
_WEBHOOK = re.compile(r'webhook "([^"]+)"', re.IGNORECASE)


class Trial:
    """Finds out by a dry run whether a workload's pod can be made, and why not.

    Controllers tell that in events, but those are thinned out where many are alike, and are old once a cause is gone.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._said: dict[str, tuple[float, str | None]] = {}

    def said(self, workload: Manifest) -> str | None:
        """Return what the API server says to a pod of a workload: nothing where it takes it, None if unknown."""
        uid = str(workload["metadata"].get("uid", ""))
        known = self._said.get(uid)
        if known is None or time.monotonic() - known[0] >= FRESH_S:
            known = self._said[uid] = (time.monotonic(), self._ask(workload))
        return known[1]

    def said_to_controller(self, workload: Manifest) -> str:
        """Return what the API server says to a workload's controller that may not make pods; empty if unknown.

        Nothing else tells: without its rights, it may not write events either.
        """
        account = f"system:serviceaccount:kube-system:{_CONTROLLERS.get(str(workload.get('kind')), '')}"
        pod = json.dumps(pod_of(workload))
        arguments = ("create", f"--as={account}", "--dry-run=server", "-o", "name", "-f", "-")
        try:
            done = self._kubectl.attempt(*arguments, stdin=pod, timeout_s=ASK_S)
        except InstallError:
            return ""
        # This user may have no right to ask in another's name, and is told so in much the same words.
        return done.stderr.strip() if f'"{account}" cannot create' in done.stderr else ""

    def _ask(self, workload: Manifest) -> str | None:
        pod = json.dumps(pod_of(workload))
        arguments = ("create", "--dry-run=server", "-o", "name", "-f", "-")
        try:
            done = self._kubectl.attempt(*arguments, stdin=pod, timeout_s=ASK_S)
        except InstallError:
            return None
        if _OURS.search(done.stderr):
            return None  # what this user may not do says nothing of what a controller may
        return done.stderr.strip() or None if done.exit_code else ""


def pod_of(workload: Manifest) -> dict[str, Any]:
    """Return a pod as a workload's controller would make it, but for its name."""
    key, template = key_of(workload), workload["spec"].get("template") or {}
    about, spec = template.get("metadata") or {}, dict(template.get("spec") or {})
    claims = [item["metadata"]["name"] for item in workload["spec"].get("volumeClaimTemplates") or []]
    spec["volumes"] = [
        *(volume for volume in spec.get("volumes") or [] if volume.get("name") not in claims),
        *({"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{key.name}-0"}} for claim in claims),
    ]
    metadata = {name: about[name] for name in ("labels", "annotations") if about.get(name)}
    metadata |= {"generateName": f"{key.name}-", "namespace": key.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def webhook_facts(kubectl: Kubectl, said: str) -> dict[str, str]:
    """Return what rules tell of the webhook in a message: whose it is, and how to look at it and to remove it."""
    look = kubectl.shown("get", _CONFIGURATIONS)
    facts = {"of_configuration": "", "webhook_look": look, "webhook_removal": look}
    named = _WEBHOOK.search(said)
    if named is None:
        return facts
    try:
        found = kubectl.items(_CONFIGURATIONS)
    except InstallError:
        return facts
    for item in found:
        if any(hook.get("name") == named[1] for hook in item.get("webhooks") or []):
            kind, name = str(item["kind"]), str(item["metadata"]["name"])
            return {
                "of_configuration": f" of the {kind} {name}",
                "webhook_look": kubectl.shown("describe", kind.lower(), name),
                "webhook_removal": kubectl.shown("delete", kind.lower(), name),
            }
    return facts
