"""Data that is in claims stays with its workload: no release may part the two."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Drift
from contextcore_install.providers.kubernetes.objects import Key, Manifest, key_of, pod_specs
from contextcore_install.providers.kubernetes.render import Release
from contextcore_install.providers.kubernetes.snapshot import Snapshot

WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet")


def refuse_to_strand_data(release: Release, snapshot: Snapshot) -> None:
    """Raise `data-stranded` where a workload would go on without the claims that its data is on."""
    for item in release.objects:
        if item["kind"] not in WORKLOADS:
            continue
        key = key_of(item, release.namespace)
        lost = _held(item["kind"], key.namespace, key.name, snapshot) - set(_uses(item))
        if lost:
            names = ", ".join(sorted({claim for claim, _ in lost}))
            raise InstallError(
                "data-stranded",
                f"{key.label} would go on without its volume {names}, and leave its data behind.",
                hint="keep that volume on its claim in the manifests, or remove the workload yourself first",
            )


def claims_of(release: Release) -> Iterator[tuple[Key, Key]]:
    """Yield the claims that Kubernetes makes for a release's StatefulSets, each with its workload."""
    for item in release.objects:
        if item["kind"] == "StatefulSet":
            key = key_of(item, release.namespace)
            for template in item["spec"].get("volumeClaimTemplates") or []:
                for number in range(int(item["spec"].get("replicas", 1))):
                    name = f"{template['metadata']['name']}-{key.name}-{number}"
                    yield Key("PersistentVolumeClaim", key.namespace, name), key


def lost_claims(release: Release, snapshot: Snapshot, noted: Container[str]) -> Iterator[Drift]:
    """Yield the claims that there have been and that are gone together with their workload."""
    for claim, workload in claims_of(release):
        if claim.name in noted and snapshot.get(claim) is None and snapshot.get(workload) is None:
            text = "was deleted by other means than this program, and the data on it is lost"
            yield Drift(claim.label, text, kept=True)


def _held(kind: str, namespace: str, name: str, snapshot: Snapshot) -> set[tuple[str, str]]:
    """Return how a workload of this name, of whatever kind, uses claims; see `_uses`."""
    live = [
        item
        for other in WORKLOADS
        for item in snapshot.of_kind(other)
        if key_of(item).namespace == namespace and key_of(item).name == name
    ]
    if live or kind != "StatefulSet":
        return {use for item in live for use in _uses(item)}
    # Deleted by hand, say: its claims are there, and wait for it under their templates' names.
    pattern = re.compile(rf"(.+)-{re.escape(name)}-\d+")
    keys = [key_of(item) for item in snapshot.of_kind("PersistentVolumeClaim")]
    found = (pattern.fullmatch(key.name) for key in keys if key.namespace == namespace)
    return {(match[1], "has") for match in found if match}


def _uses(item: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (claim or template, "has") for each that a workload has, and (..., "mounts") for each in a container."""
    templates = (item.get("spec") or {}).get("volumeClaimTemplates") or []
    claims = {str(template.get("metadata", {}).get("name", "")) for template in templates}
    yield from ((claim, "has") for claim in claims)
    for spec in pod_specs(item):
        own = {str(volume.get("name")): volume for volume in spec.get("volumes") or []}
        # A volume of the pod itself hides a template of its name.
        volumes = {claim: claim for claim in claims - set(own)}
        for name, volume in own.items():
            if claim := volume.get("persistentVolumeClaim"):
                volumes[name] = str(claim.get("claimName"))
        for container in spec.get("containers") or []:
            for mount in container.get("volumeMounts") or []:
                if mount.get("name") in volumes:
                    yield volumes[str(mount["name"])], "mounts"
