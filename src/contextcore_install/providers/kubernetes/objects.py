"""Kubernetes objects as they come out of JSON: names, images, fingerprints, and how two versions of one differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Manifest = Mapping[str, Any]
"""One object, as in `kubectl get -o json`."""

FIELD_MANAGER = "contextcore-install"
RELEASE_LABEL = "contextcore-install/release"
"""Says which installation an object belongs to; what carries it and is no longer wanted is pruned."""
FINGERPRINT = "contextcore-install/fingerprint"
"""The annotation with the hash of the object as it was rendered."""

CLUSTER_KINDS = frozenset(
    {
        "APIService", "ClusterRole", "ClusterRoleBinding", "CSIDriver", "CustomResourceDefinition", "IngressClass",
        "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass", "RuntimeClass",
        "StorageClass", "ValidatingWebhookConfiguration",
    }
)  # fmt: skip
"""Kinds without a namespace."""

KEPT_KINDS = frozenset(
    {"Namespace", "PersistentVolumeClaim", "PersistentVolume", "CustomResourceDefinition", "Endpoints"}
)
"""Never pruned: data goes with them, or the cluster makes them itself (with their Service's labels)."""

# Suffixes of resource.Quantity (k8s.io/apimachinery/pkg/api/resource)
_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3)}
_SUFFIXES |= {letter: Decimal(10 ** (3 * power)) for power, letter in enumerate("MGTPE", 2)}
_SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?)([numkMGTPE]|[KMGTPE]i)?")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names an object."""

    kind: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """Kind and name, for people."""
        return f"{self.kind}/{self.name}"


def key_of(item: Manifest, default_namespace: str = "") -> Key:
    """Return an object's key; one without a namespace that should have one is in the default."""
    metadata = item.get("metadata", {})
    kind = str(item.get("kind", ""))
    namespace = "" if kind in CLUSTER_KINDS else str(metadata.get("namespace") or default_namespace)
    return Key(kind, namespace, str(metadata.get("name", "")))


def resource_of(item: Manifest) -> str:
    """Return the name by which kubectl finds an object's kind whatever else is called like it."""
    group, _, version = str(item.get("apiVersion", "v1")).rpartition("/")
    kind = str(item.get("kind", ""))
    return f"{kind}.{version}.{group}".lower() if group else kind.lower()


def fingerprint(item: Manifest) -> str:
    """Return what changes when the object does."""
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label_of(item: Manifest, name: str) -> str:
    """Return a label's value; empty where there is none."""
    return str((item.get("metadata", {}).get("labels") or {}).get(name, ""))


def annotation_of(item: Manifest, name: str) -> str:
    """Return an annotation's value; empty where there is none."""
    return str((item.get("metadata", {}).get("annotations") or {}).get(name, ""))


def pod_specs(item: Manifest) -> Iterator[dict[str, Any]]:
    """Yield the pod specs in an object: a pod's own, a workload's template, a CronJob's."""
    spec = item.get("spec")
    if not isinstance(spec, dict):
        return
    if item.get("kind") == "Pod":
        yield spec
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        yield template["spec"]


def containers(item: Manifest) -> Iterator[dict[str, Any]]:
    """Yield all containers of an object's pods."""
    for spec in pod_specs(item):
        for field in ("initContainers", "containers"):
            yield from (container for container in spec.get(field) or [] if isinstance(container, dict))


def images(items: Sequence[Manifest]) -> list[str]:
    """Return the images that objects use, each once, in their order."""
    found = (str(container.get("image", "")) for item in items for container in containers(item))
    return [image for image in dict.fromkeys(found) if image]


Path = tuple[str | int, ...]
"""Where a field is: names of members, `[NAME]` for the entry of that name in a list, or its index."""


def difference(wanted: Any, live: Any) -> str:
    """Return where a live object first lacks something wanted, as a path into it; empty where it does not."""
    path = next(differences(wanted, live), None)
    return "" if path is None else shown_path(path)


def shown_path(path: Path) -> str:
    """Return a path for people."""
    parts = (f"[{part}]" if isinstance(part, int) else part for part in path)
    return "".join(part if part.startswith("[") else f".{part}" for part in parts).lstrip(".") or "value"


def differences(wanted: Any, live: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where a live object lacks something wanted.

    The server adds defaults, and others may add fields; what was asked for must be there as it was asked for.
    """
    if isinstance(wanted, Mapping):
        yield from _mapping_differences(wanted, live, path)
    elif isinstance(wanted, list):
        yield from _list_differences(wanted, live, path)
    elif not (wanted is None or wanted == live or (not wanted and live is None) or _same_quantity(wanted, live)):
        yield path


def _mapping_differences(wanted: Mapping[str, Any], live: Any, path: Path) -> Iterator[Path]:
    if wanted and not isinstance(live, Mapping):
        yield path
        return
    for key, value in wanted.items():
        yield from differences(value, live.get(key), (*path, key))


def _list_differences(wanted: list[Any], live: Any, path: Path) -> Iterator[Path]:
    if not wanted:
        return
    if not isinstance(live, list):
        yield path
    elif all(isinstance(item, Mapping) and "name" in item for item in wanted):
        # Merged by name (containers, env, ports, volumes, ...): others may have added some.
        named = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        for item in wanted:
            yield from differences(item, named.get(item["name"]), (*path, f"[{item['name']}]"))
    elif len(wanted) != len(live):
        yield path
    else:
        for index, item in enumerate(wanted):
            yield from differences(item, live[index], (*path, index))


def mixed_volumes(wanted: Manifest, live: Manifest) -> list[str]:
    """Return the volumes that would be of two kinds at once, were the wanted object applied to the live one.

    Server-side apply takes away what we no longer set, but not the defaults that the server added to it (defaultMode):
    a volume that changes from configMap to projected keeps an empty configMap, and no pod can be made of that.
    """
    named = {volume.get("name"): volume for spec in pod_specs(live) for volume in spec.get("volumes") or []}
    return [
        str(volume["name"])
        for spec in pod_specs(wanted)
        for volume in spec.get("volumes") or []
        if set(named.get(volume.get("name"), volume)) - set(volume)
    ]


def _same_quantity(wanted: Any, live: Any) -> bool:
    """Tell whether two values are one amount: the server writes 1024Mi as 1Gi."""
    first, second = _QUANTITY.fullmatch(str(wanted)), _QUANTITY.fullmatch(str(live))
    if not first or not second or isinstance(wanted, bool) or isinstance(live, bool):
        return False
    return Decimal(first[1]) * _SUFFIXES[first[2] or ""] == Decimal(second[1]) * _SUFFIXES[second[2] or ""]


def is_ready(member: Manifest) -> bool:
    """Tell whether a node is Ready, as it said itself last."""
    conditions = (member.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)
