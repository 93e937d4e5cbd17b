"""Claims: which are a workload's, what no release may separate from its data, and those that never get a volume."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from contextcore_install.core.errors import REPAIR, InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.core.requirements import DataPiece, Storage
from contextcore_install.providers.kubernetes.client import Kubectl, Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import MANAGED_BY, WORKLOAD_KINDS, Key, Manifest, Release

GONE_WITHIN_S = 15  # seconds for a claim to go
#: Where an emptyDir holds nothing that is to be kept.
SCRATCH = ("/tmp/", "/var/tmp/", "/run/", "/var/run/", "/var/cache/", "/dev/shm/")  # noqa: S108 - where pods have them
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def claims_of(workload: Manifest, at_least: int = 0) -> Iterator[tuple[str, Manifest]]:
    """Yield the claims that Kubernetes makes for a StatefulSet (TEMPLATE-WORKLOAD-NUMBER), each with its template."""
    for name, template in workload.claim_templates.items():
        for number in range(max(at_least, workload.replicas)):
            yield f"{name}-{workload.key.name}-{number}", template


def template_name(claim: str, workload: str) -> str:
    """Return the name of the template that a claim of a StatefulSet was made from; empty for another claim."""
    match = re.fullmatch(rf"(.+)-{re.escape(workload)}-\d+", claim)
    return match[1] if match else ""


def is_claim_of(item: Manifest, workloads: Iterable[Key], cluster: str) -> bool:
    """Tell whether a claim of ours was made from a template of one of these StatefulSets."""
    is_ours = item.belongs_to(cluster) or MANAGED_BY.items() <= item.labels.items()
    beside = (workload for workload in workloads if workload.namespace == item.key.namespace)
    return is_ours and any(template_name(item.key.name, workload.name) for workload in beside)


def pods_using(snapshot: Snapshot, claim: Key) -> Iterator[Manifest]:
    beside = (pod for pod in snapshot.of_kind("Pod") if pod.key.namespace == claim.namespace)
    return (pod for pod in beside if claim.name in pod.mounted_claims.values())


def lost_claims(release: Release, snapshot: Snapshot, noted: Container[str]) -> Iterator[Drift]:
    """Yield the noted claims that are gone together with their workload."""
    for workload, item in release.workloads.items():
        for name, _ in claims_of(item):
            claim = Key("PersistentVolumeClaim", workload.namespace, name)
            if name in noted and snapshot.get(claim) is None and snapshot.get(workload) is None:
                text = "was not deleted by this program, and the data on it is lost"
                yield Drift(claim.label, text, kept=True)


def refuse_to_strand_data(release: Release, snapshot: Snapshot) -> None:
    """Raise `data-stranded` if a workload would go on without the claims that its data is on."""
    for key, item in release.workloads.items():
        lost = _uses_in_cluster(key, snapshot) - set(_uses(item))
        if lost:
            names = ", ".join(sorted({claim for claim, _ in lost}))
            raise InstallError(
                "data-stranded",
                f"{key.label} would go on without its volume {names}, and leave its data behind.",
                hint="keep that volume on its claim in the manifests, or remove the workload yourself first",
            )


def _uses_in_cluster(key: Key, snapshot: Snapshot) -> set[tuple[str, str]]:
    """Return how a workload of this name, of whatever kind, uses claims; see `_uses`."""
    live = [snapshot.get(Key(kind, key.namespace, key.name)) for kind in WORKLOAD_KINDS]
    if any(live) or key.kind != "StatefulSet":
        return {use for item in live if item for use in _uses(item)}
    # Deleted by hand, for example: its claims are there, and wait for it under their templates' names.
    claims = (item.key for item in snapshot.of_kind("PersistentVolumeClaim"))
    found = {template_name(claim.name, key.name) for claim in claims if claim.namespace == key.namespace}
    return {(name, "has") for name in found - {""}}


def _uses(item: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (claim or template, "has") for each that a workload has, and (..., "mounts") for each in a container."""
    templates = item.claim_templates.keys()
    yield from ((name, "has") for name in templates)
    for spec in item.pod_specs:
        # A volume of the pod itself hides a template of its name.
        own = {str(volume.get("name")) for volume in spec.get("volumes", [])}
        volumes = {**{name: name for name in templates - own}, **item.mounted_claims}
        for container in spec.get("containers", []):
            for mount in container.get("volumeMounts", []):
                if mount.get("name") in volumes:
                    yield volumes[str(mount["name"])], "mounts"


def default_class(claim: Manifest, reader: Reader) -> str:
    """Return the default class that a claim without a volume or a class would get now; empty if it has either."""
    wanted = claim.spec.get("storageClassName")
    is_empty = claim.status.get("phase") == "Pending" and not claim.spec.get("volumeName")
    if not is_empty or claim.is_deleting or wanted == "":
        return ""
    classes = reader.storage_classes.read()
    if wanted in {item.key.name for item in classes}:
        return ""
    defaults = (item for item in classes if any(item.annotations.get(name) == "true" for name in _DEFAULT))
    return next((item.key.name for item in defaults), "")


def made_too_early(reader: Reader, snapshot: Snapshot) -> Iterator[tuple[Manifest, str]]:
    """Yield the release's claims that have no volume and would get one if they were made now, each with the class."""
    for workload, item in reader.release().workloads.items():
        for name, template in claims_of(item):
            claim = snapshot.get(Key("PersistentVolumeClaim", workload.namespace, name))
            is_free = template.spec.get("storageClassName") is None
            if claim and is_free and (default := default_class(claim, reader)):
                yield claim, default


def remove_empty(kubectl: Kubectl, claim: Manifest, ctx: StepContext) -> None:
    """Delete a claim as it was seen, without a volume: one that was bound since then stays. Raises InstallError."""
    done = kubectl.delete_unchanged("persistentvolumeclaims", claim, ctx)
    if done.exit_code != 0:
        raise kubectl.failure(done)
    key = claim.key
    gone = ("wait", "--for=delete", f"pvc/{key.name}", "-n", key.namespace, f"--timeout={GONE_WITHIN_S}s")
    kubectl.attempt(*gone, ctx=ctx, timeout_s=GONE_WITHIN_S + 10)


def storage(release: Release, snapshot: Snapshot) -> Iterator[Storage]:
    """Yield what each workload of the release that is there keeps its data in."""
    for key in release.workloads:
        if (workload := snapshot.get(key)) is not None:
            yield _storage_of(key, workload, snapshot)


def _storage_of(key: Key, workload: Manifest, snapshot: Snapshot) -> Storage:
    spec = workload["spec"]["template"]["spec"]
    claims = [*(name for name, _ in claims_of(workload, at_least=1)), *workload.mounted_claims.values()]
    place = ", ".join(claims)
    fleeting = {str(volume["name"]) for volume in spec.get("volumes", []) if "emptyDir" in volume}
    if folders := ", ".join(_kept_in_pods(spec, fleeting)):
        message = f"{key.name} has an emptyDir at {folders}: what is there goes with its pod."
        summary = "Give it a claim instead, in the manifests or where it was added by hand; what it holds now goes."
        # Beside a claim it may be scratch of whoever added it; what takes the claim's own place is not.
        is_scratch = bool(claims) and fleeting.isdisjoint(workload.claim_templates)
        remedy = Remedy(summary, risk=Risk.LOSES_DATA)
        found = Finding("data-in-pod", message, remedy=remedy, warning=is_scratch)
        return Storage(key.name, place or "emptyDir", f"emptyDir at {folders}", found)
    live = {claim: snapshot.get(Key("PersistentVolumeClaim", key.namespace, claim)) for claim in claims}
    phases = {claim: str(item.status.get("phase") or "Pending") if item else "missing" for claim, item in live.items()}
    evidence = ", ".join(f"{claim} is {phase}" for claim, phase in phases.items())
    if unbound := [claim for claim, phase in phases.items() if phase != "Bound"]:
        remedy = Remedy("Have it made, and look why it is not bound.", REPAIR)
        message = f"The data of {key.name} has no volume: {', '.join(unbound)} not bound."
        return Storage(key.name, place, evidence, Finding("claim-unbound", message, evidence, remedy))
    there = ((claim, item) for claim, item in live.items() if item)
    pieces = tuple(DataPiece(claim, item.uid, item.metadata.get("creationTimestamp", "")) for claim, item in there)
    return Storage(key.name, place, evidence or "it mounts nothing to keep data in", pieces=pieces)


def _kept_in_pods(spec: Mapping[str, Any], fleeting: set[str]) -> Iterator[str]:
    """Yield the folders in some volumes, other than those for scratch."""
    for container in spec.get("containers", []):
        for mount in container.get("volumeMounts", []):
            path = str(mount.get("mountPath", "")).rstrip("/")
            if mount.get("name") in fleeting and not f"{path}/".startswith(SCRATCH):
                yield path
