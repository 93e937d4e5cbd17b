"""Claims that were made before the storage class that they need: they never get a volume, and new ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.keeping import claims_of
from contextcore_install.providers.kubernetes.objects import Manifest, annotation_of, key_of
from contextcore_install.providers.kubernetes.render import Release
from contextcore_install.providers.kubernetes.snapshot import Snapshot

_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
GONE_WITHIN_S = 15


class StorageClasses:
    """The cluster's storage classes, as far as this user may read them."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._shared = TtlCache(lambda: kubectl.items("storageclasses"))

    def default_for(self, claim: Manifest) -> str:
        """Return the default class that a claim would be given if it were made now; empty where it would be as it is.

        Only of one that never had a volume, and whose own class is none, or is not there.
        """
        spec, status = claim.get("spec") or {}, claim.get("status") or {}
        is_empty = status.get("phase") == "Pending" and not spec.get("volumeName")
        if not is_empty or claim["metadata"].get("deletionTimestamp") or spec.get("storageClassName") == "":
            return ""
        try:
            classes = self._shared.read()
        except InstallError:
            return ""
        if spec.get("storageClassName") in {key_of(item).name for item in classes}:
            return ""
        defaults = (item for item in classes if any(annotation_of(item, name) == "true" for name in _DEFAULT))
        return next((key_of(item).name for item in defaults), "")


def made_too_early(release: Release, snapshot: Snapshot, classes: StorageClasses) -> Iterator[tuple[Manifest, str]]:
    """Yield the release's claims that have no volume and would get one if they were made now, each with the class."""
    without = {
        (key_of(item, release.namespace), template["metadata"]["name"])
        for item in release.objects
        if item["kind"] == "StatefulSet"
        for template in item["spec"].get("volumeClaimTemplates") or []
        if (template.get("spec") or {}).get("storageClassName") is None
    }
    for key, workload in claims_of(release):
        claim, template = (snapshot.get(key), key.name.removesuffix(f"-{workload.name}-{key.name.rpartition('-')[2]}"))
        if claim and (workload, template) in without and (default := classes.default_for(claim)):
            yield claim, default


def remove_empty(kubectl: Kubectl, claim: Manifest, ctx: StepContext) -> None:
    """Delete a claim as it was seen, without a volume: one that was bound since then stays. Raises InstallError."""
    key, metadata = key_of(claim), claim["metadata"]
    seen = {name: metadata[name] for name in ("uid", "resourceVersion")}
    options = json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": seen})
    place = f"/api/v1/namespaces/{key.namespace}/persistentvolumeclaims/{key.name}"
    kubectl.call("delete", "--raw", place, "-f", "-", stdin=options, ctx=ctx)
    gone = ("wait", "--for=delete", f"pvc/{key.name}", "-n", key.namespace, f"--timeout={GONE_WITHIN_S}s")
    kubectl.attempt(*gone, ctx=ctx, timeout_s=GONE_WITHIN_S + 10)


def waiting_for(pods: Sequence[Manifest], claim: Manifest) -> Iterator[Manifest]:
    """Yield the pods that use a claim."""
    key = key_of(claim)
    for pod in pods:
        volumes = (pod.get("spec") or {}).get("volumes") or []
        used = {(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in volumes}
        if key_of(pod).namespace == key.namespace and key.name in used:
            yield pod
