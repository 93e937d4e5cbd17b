"""Which node a pod needs, and what of that node keeps it away: the scheduler names neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Key, Manifest, annotation_of, key_of, mounted_claims
from contextcore_install.providers.kubernetes.pods import Pod
from contextcore_install.providers.kubernetes.snapshot import Snapshot

_SELECTED = "volume.kubernetes.io/selected-node"  # annotation of a claim: the node that its volume was made on
_CONTROL_PLANE = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_SYSTEM = "node.kubernetes.io/"  # prefix of the taints that Kubernetes itself puts on nodes, and removes again


class Scheduling:
    """What keeps pods from the nodes that they need."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._nodes = TtlCache(lambda: kubectl.items("nodes"))

    def facts(self, pod: Pod, snapshot: Snapshot) -> dict[str, str]:
        """Return the facts of rules about pods without a node; empty if they do not apply, or nodes may not be read."""
        facts = dict.fromkeys(("tainted", "taint", "untaint", "gone", "cordoned", "uncordon"), "")
        item = snapshot.get(Key("Pod", pod.namespace, pod.name))
        nodes = snapshot.of_kind("Node") or self._read_nodes()
        if item is None or not nodes:
            return facts
        needed = _needed_nodes(item, snapshot.of_kind("PersistentVolumeClaim"))
        by_name = {key_of(node).name: node for node in nodes}
        if gone := sorted(needed - set(by_name)):
            return {**facts, "gone": ", ".join(gone)}
        candidates = [by_name[name] for name in sorted(needed)]
        candidates = candidates or [node for node in nodes if not _is_control_plane(node)]
        barred = {key_of(node).name: taint for node in candidates if (taint := _barring_taint(node, item))}
        if candidates and len(barred) == len(candidates):
            return {**facts, **self._tainted(barred)}
        cordoned = [key_of(node).name for node in candidates if node.get("spec", {}).get("unschedulable")]
        # A cluster whose nodes are in the snapshot is ours, and has them take pods again by itself.
        if candidates and len(cordoned) == len(candidates) and not snapshot.of_kind("Node"):
            facts |= {"cordoned": ", ".join(cordoned), "uncordon": self._kubectl.shown("uncordon", *cordoned)}
        return facts

    def _read_nodes(self) -> Sequence[dict[str, Any]]:
        try:
            return self._nodes.read()
        except InstallError:
            return ()

    def _tainted(self, barred: Mapping[str, str]) -> dict[str, str]:
        """Return the facts about nodes, each with the taint that bars the pod."""
        taints = dict.fromkeys(barred.values())
        nodes = {taint: [name for name in barred if barred[name] == taint] for taint in taints}
        commands = (self._kubectl.shown("taint", "nodes", *names, f"{taint}-") for taint, names in nodes.items())
        return {"tainted": ", ".join(barred), "taint": " and ".join(taints), "untaint": "; ".join(commands)}


def _needed_nodes(pod: Manifest, claims: Iterable[Manifest]) -> set[str]:
    """Return the nodes that a pod's volumes are on."""
    names, namespace = mounted_claims(pod.get("spec", {})).values(), key_of(pod).namespace
    mine = (claim for claim in claims if key_of(claim).namespace == namespace and key_of(claim).name in names)
    nodes = {annotation_of(claim, _SELECTED) for claim in mine if claim.get("spec", {}).get("volumeName")}
    return nodes - {""}


def _is_control_plane(node: Manifest) -> bool:
    return bool(_CONTROL_PLANE & set(node.get("metadata", {}).get("labels", {})))


def _barring_taint(node: Manifest, pod: Manifest) -> str:
    """Return the first taint of a node, as `kubectl taint` takes it, that keeps a pod away; empty if none does."""
    tolerations = pod.get("spec", {}).get("tolerations", [])
    for taint in node.get("spec", {}).get("taints", []):
        if (
            taint.get("effect") in {"NoSchedule", "NoExecute"}
            and not str(taint.get("key", "")).startswith(_SYSTEM)
            and not any(_tolerates(toleration, taint) for toleration in tolerations)
        ):
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"{taint.get('key', '')}{value}:{taint['effect']}"
    return ""


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Tell whether a toleration fits a taint (k8s.io/api/core/v1, Toleration.ToleratesTaint)."""
    exists, key = toleration.get("operator") == "Exists", toleration.get("key")
    return (
        toleration.get("effect") in {None, "", taint.get("effect")}
        and (key == taint.get("key") or (exists and not key))
        and (exists or toleration.get("value", "") == taint.get("value", ""))
    )
