"""What the stack has in a cluster: what its workloads keep their data in, and how far its Services reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.core.requirements import DataPiece, Listener, Storage
from contextcore_install.providers.kubernetes.claims import claims_of, templates_of
from contextcore_install.providers.kubernetes.objects import Key, Manifest, Release, mounted_claims
from contextcore_install.providers.kubernetes.snapshot import Snapshot

#: Where an emptyDir holds nothing that is to be kept.
SCRATCH = ("/tmp", "/var/tmp", "/run", "/var/run", "/var/cache", "/dev/shm")  # noqa: S108 - where pods have them


def storage(release: Release, snapshot: Snapshot) -> Iterator[Storage]:
    """Yield what each workload of the release that is there keeps its data in."""
    for key in release.workloads:
        if (live := snapshot.get(key)) is not None:
            yield _storage_of(key, live, snapshot)


def _storage_of(key: Key, workload: Manifest, snapshot: Snapshot) -> Storage:
    spec = workload["spec"]["template"]["spec"]
    claims = [*(name for name, _ in claims_of(workload, at_least=1)), *mounted_claims(spec).values()]
    place = ", ".join(claims)
    fleeting = {str(volume["name"]) for volume in spec.get("volumes", []) if "emptyDir" in volume}
    if folders := list(_kept_in_pods(spec, fleeting)):
        # Beside a claim it may be scratch of whoever added it; what takes the claim's own place is not.
        hidden = fleeting & {item["metadata"]["name"] for item in templates_of(workload)}
        found = _in_pod(key.name, folders, warning=bool(claims) and not hidden)
        return Storage(key.name, place or "emptyDir", f"emptyDir at {', '.join(folders)}", found)
    live = {claim: snapshot.get(Key("PersistentVolumeClaim", key.namespace, claim)) for claim in claims}
    phases = {claim: _phase(item) for claim, item in live.items()}
    evidence = ", ".join(f"{claim} is {phase}" for claim, phase in phases.items())
    if unbound := [claim for claim, phase in phases.items() if phase != "Bound"]:
        remedy = Remedy("Have it made, and look why it is not bound.", REPAIR)
        message = f"The data of {key.name} has no volume: {', '.join(unbound)} not bound."
        return Storage(key.name, place, evidence, Finding("claim-unbound", message, evidence, remedy))
    about = {claim: item["metadata"] for claim, item in live.items() if item}
    pieces = (
        DataPiece(claim, str(metadata.get("uid", "")), str(metadata.get("creationTimestamp", "")))
        for claim, metadata in about.items()
    )
    return Storage(key.name, place, evidence or "it mounts nothing to keep data in", pieces=tuple(pieces))


def _kept_in_pods(spec: Mapping[str, Any], fleeting: set[str]) -> Iterator[str]:
    """Yield the folders, other than those for scratch, that go with the pod."""
    for container in spec.get("containers", []):
        for mount in container.get("volumeMounts", []):
            path = str(mount.get("mountPath", "")).rstrip("/")
            if mount.get("name") in fleeting and not f"{path}/".startswith(tuple(f"{folder}/" for folder in SCRATCH)):
                yield path


def _phase(claim: Manifest | None) -> str:
    return str(claim.get("status", {}).get("phase") or "Pending") if claim else "missing"


def _in_pod(name: str, folders: Sequence[str], *, warning: bool) -> Finding:
    remedy = Remedy(
        "Give it a claim instead, in the manifests or where it was added by hand; what it holds now goes.",
        risk=Risk.LOSES_DATA,
    )
    message = f"{name} has an emptyDir at {', '.join(folders)}: what is there goes with its pod."
    return Finding("data-in-pod", message, remedy=remedy, warning=warning)


def reach_of_services(release: Release, snapshot: Snapshot) -> Iterator[Listener]:
    """Yield how far each Service of the release reaches, as it is in the cluster."""
    for key in release.by_key:
        live = snapshot.get(key) if key.kind == "Service" else None
        if live is None:
            continue
        kind, ports = str(live["spec"].get("type", "ClusterIP")), live["spec"].get("ports", [])
        if kind == "NodePort":
            numbers = ", ".join(str(port.get("nodePort", "?")) for port in ports)
            yield Listener(key.label, f"every node, port {numbers}", is_open=True)
        elif kind == "LoadBalancer" or live["spec"].get("externalIPs"):
            yield Listener(key.label, "a load balancer", is_open=True)
        else:
            yield Listener(key.label, "inside the cluster", is_open=False)
