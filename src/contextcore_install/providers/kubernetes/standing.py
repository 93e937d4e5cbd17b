"""How the stack stands in a cluster: what its workloads keep their data in, and how far its Services reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.core.requirements import DataPiece, Listener, Storage
from contextcore_install.providers.kubernetes.conditions import WORKLOAD_KINDS
from contextcore_install.providers.kubernetes.objects import Key, Manifest, key_of
from contextcore_install.providers.kubernetes.render import Release
from contextcore_install.providers.kubernetes.snapshot import Snapshot

SCRATCH = ("/tmp", "/var/tmp", "/run", "/var/run", "/var/cache", "/dev/shm")  # noqa: S108 - where pods have them
"""Where an emptyDir holds nothing that is to be kept."""


def storage(release: Release, snapshot: Snapshot) -> Iterator[Storage]:
    """Yield what each workload of the release that is there keeps its data in."""
    for item in release.objects:
        live = snapshot.get(key_of(item)) if item["kind"] in WORKLOAD_KINDS else None
        if live is not None:
            yield _storage_of(live, snapshot)


def _storage_of(workload: Manifest, snapshot: Snapshot) -> Storage:
    name, namespace = str(workload["metadata"]["name"]), str(workload["metadata"].get("namespace", ""))
    spec = workload["spec"]["template"]["spec"]
    claims = list(_claims(workload, spec))
    place = ", ".join(claims)
    if folders := list(_kept_in_pods(spec)):
        # Beside a claim it may be scratch of whoever added it; what takes the claim's own place is not.
        hidden = _fleeting(spec) & {item["metadata"]["name"] for item in _templates(workload)}
        found = _in_pod(name, folders, warning=bool(claims) and not hidden)
        return Storage(name, place or "emptyDir", f"emptyDir at {', '.join(folders)}", found)
    live = {claim: snapshot.get(Key("PersistentVolumeClaim", namespace, claim)) for claim in claims}
    phases = {claim: _phase(item) for claim, item in live.items()}
    evidence = ", ".join(f"{claim} is {phase}" for claim, phase in phases.items())
    if loose := [claim for claim, phase in phases.items() if phase != "Bound"]:
        return Storage(name, place, evidence, _loose(name, loose, evidence))
    pieces = tuple(_piece(claim, item["metadata"]) for claim, item in live.items() if item)
    return Storage(name, place, evidence or "it mounts nothing to keep data in", pieces=pieces)


def _piece(claim: str, metadata: Mapping[str, Any]) -> DataPiece:
    return DataPiece(claim, str(metadata.get("uid", "")), str(metadata.get("creationTimestamp", "")))


def _claims(workload: Manifest, spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a workload's claims; those of its templates as a StatefulSet names them."""
    name = workload["metadata"]["name"]
    for template in _templates(workload):
        for number in range(max(1, int(workload["spec"].get("replicas", 1)))):
            yield f"{template['metadata']['name']}-{name}-{number}"
    for volume in spec.get("volumes") or []:
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield str(claim)


def _templates(workload: Manifest) -> Sequence[Manifest]:
    return workload["spec"].get("volumeClaimTemplates") or []


def _fleeting(spec: Mapping[str, Any]) -> set[str]:
    return {str(volume["name"]) for volume in spec.get("volumes") or [] if "emptyDir" in volume}


def _kept_in_pods(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the folders, other than those for scratch, that go with the pod."""
    fleeting = _fleeting(spec)
    for container in spec.get("containers") or []:
        for mount in container.get("volumeMounts") or []:
            path = str(mount.get("mountPath", "")).rstrip("/")
            scratch = any(path == folder or path.startswith(f"{folder}/") for folder in SCRATCH)
            if mount.get("name") in fleeting and not scratch:
                yield path


def _phase(claim: Manifest | None) -> str:
    return str((claim.get("status") or {}).get("phase") or "Pending") if claim else "missing"


def _in_pod(name: str, folders: Sequence[str], *, warning: bool) -> Finding:
    remedy = Remedy(
        "Give it a claim instead, in the manifests or where it was added by hand; what it holds now goes.",
        risk=Risk.LOSES_DATA,
    )
    message = f"{name} has an emptyDir at {', '.join(folders)}: what is there goes with its pod."
    return Finding("data-in-pod", message, remedy=remedy, warning=warning)


def _loose(name: str, claims: Sequence[str], evidence: str) -> Finding:
    remedy = Remedy("Have it made, and look why it is not bound.", REPAIR)
    message = f"The data of {name} has no volume: {', '.join(claims)} not bound."
    return Finding("claim-unbound", message, evidence, remedy)


def reach_of_services(release: Release, snapshot: Snapshot) -> Iterator[Listener]:
    """Yield how far each Service of the release reaches, as it is in the cluster."""
    for item in release.objects:
        live = snapshot.get(key_of(item)) if item["kind"] == "Service" else None
        if live is None:
            continue
        kind, owner = str(live["spec"].get("type", "ClusterIP")), f"Service/{live['metadata']['name']}"
        ports = live["spec"].get("ports") or []
        if kind == "NodePort":
            numbers = ", ".join(str(port.get("nodePort", "?")) for port in ports)
            yield Listener(owner, f"every node, port {numbers}", is_open=True)
        elif kind == "LoadBalancer" or live["spec"].get("externalIPs"):
            yield Listener(owner, "a load balancer", is_open=True)
        else:
            yield Listener(owner, "inside the cluster", is_open=False)
