"""Kubernetes objects as parsed JSON: schema, keys, pod specs, and how two versions of one differ."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.schema import validate
from contextcore_install.core.tables import read_table

Manifest = Mapping[str, Any]  # one object, as in `kubectl get -o json`
FieldPath = tuple[str | int, ...]  # member names, `[NAME]` for the entry of that name in a list, or its index

NAMESPACE = "observability"
FIELD_MANAGER = "contextcore-install"
MANAGED_BY = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
RELEASE_LABEL = "contextcore-install/release"  # its value is the installation
FINGERPRINT = "contextcore-install/fingerprint"  # annotation: the hash of the object as it was rendered

WORKLOAD_KINDS = ("StatefulSet", "Deployment", "DaemonSet")
API = read_table(Path(__file__).with_name("api.toml"))
CLUSTER_KINDS, KEPT_KINDS = frozenset(API["cluster_kinds"]), frozenset(API["kept_kinds"])

_MEMBERS: dict[str, Any] = {"conditions": [{"type": str}], "finalizers": [str], "selector": {"matchLabels": {}}}
_SCHEMAS = {"anything": {}, "text": str, "number": int, "object": _MEMBERS, "objects": [_MEMBERS]}
for _schema, _names in API["members"].items():
    _MEMBERS |= dict.fromkeys(_names, _SCHEMAS[_schema])
_OF_ANY_KIND = {name: _MEMBERS[name] for name in ("kind", "apiVersion", "metadata")}
_GROUPS = frozenset({"", "apps", "batch", "coordination.k8s.io", "authorization.k8s.io"})
_IN_ANY_GROUP = (*WORKLOAD_KINDS, "Service")  # read by their kind alone

# Suffixes of resource.Quantity (k8s.io/apimachinery/pkg/api/resource)
_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3)}
_SUFFIXES |= {letter: Decimal(10 ** (3 * power)) for power, letter in enumerate("MGTPE", 2)}
_SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?)([numkMGTPE]|[KMGTPE]i)?")


def as_kubernetes_object(document: Any) -> dict[str, Any]:
    """Return an object as Kubernetes has it, without null where a member is read; raises SchemaError."""
    known = document if isinstance(document, dict) else {}
    group = str(known.get("apiVersion") or "v1").rpartition("/")[0]
    is_known = group in _GROUPS or known.get("kind") in _IN_ANY_GROUP
    found: dict[str, Any] = validate(document, _MEMBERS if is_known else _OF_ANY_KIND, str(known.get("kind") or ""))
    return found


class Key(NamedTuple):
    """What names an object."""

    kind: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """Kind and name, for people."""
        return f"{self.kind}/{self.name}"


def key_of(item: Manifest, default_namespace: str = "") -> Key:
    metadata, kind = item.get("metadata", {}), str(item.get("kind", ""))
    namespace = "" if kind in CLUSTER_KINDS else str(metadata.get("namespace") or default_namespace)
    return Key(kind, namespace, str(metadata.get("name", "")))


@dataclass(frozen=True, slots=True)
class Release:
    """The objects that should be there, in the order in which they are applied."""

    objects: tuple[dict[str, Any], ...]
    namespace: str = NAMESPACE

    @property
    def by_key(self) -> dict[Key, dict[str, Any]]:
        return {key_of(item, self.namespace): item for item in self.objects}

    @property
    def workloads(self) -> dict[Key, dict[str, Any]]:
        return {key: item for key, item in self.by_key.items() if key.kind in WORKLOAD_KINDS}

    @property
    def images(self) -> list[str]:
        found = (str(container.get("image", "")) for item in self.objects for container in containers(item))
        return [image for image in dict.fromkeys(found) if image]

    @property
    def namespaces(self) -> list[str]:
        return sorted({key.namespace for key in self.by_key} - {""})


def resource_of(item: Manifest) -> str:
    """Return the name by which kubectl finds an object's kind whatever else is called like it."""
    group, _, version = str(item.get("apiVersion", "v1")).rpartition("/")
    kind = str(item.get("kind", "")).lower()
    return f"{kind}.{version}.{group}".lower() if group else kind


def fingerprint(item: Manifest) -> str:
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label_of(item: Manifest, name: str) -> str:
    return str((item.get("metadata", {}).get("labels") or {}).get(name, ""))


def annotation_of(item: Manifest, name: str) -> str:
    return str((item.get("metadata", {}).get("annotations") or {}).get(name, ""))


def is_deleting(item: Manifest) -> bool:
    return bool(item.get("metadata", {}).get("deletionTimestamp"))


def is_ready(member: Manifest) -> bool:
    """Tell whether a node is Ready, as it said itself last."""
    conditions = member.get("status", {}).get("conditions", [])
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def make_secret(name: str, namespace: str, labels: Mapping[str, str], data: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


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
    for spec in pod_specs(item):
        for field in ("initContainers", "containers"):
            yield from (container for container in spec.get(field) or [] if isinstance(container, dict))


def mounted_claims(pod_spec: Mapping[str, Any]) -> dict[str, str]:
    """Return volume -> claim for the volumes of a pod that are on claims."""
    volumes = pod_spec.get("volumes", [])
    found = {str(item.get("name")): (item.get("persistentVolumeClaim") or {}).get("claimName") for item in volumes}
    return {volume: str(claim) for volume, claim in found.items() if claim}


def difference(wanted: Any, live: Any) -> str:
    """Return where a live object first lacks something wanted, as a path into it; empty if it lacks nothing."""
    path = next(differences(wanted, live), None)
    return "" if path is None else shown_path(path)


def shown_path(path: FieldPath) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else part for part in path)
    return "".join(part if part.startswith("[") else f".{part}" for part in parts).lstrip(".") or "value"


def differences(wanted: Any, live: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Yield where a live object lacks something wanted; the server adds defaults, and others may add fields."""
    if wanted in (None, {}, []):
        return
    if isinstance(wanted, dict | list) and not isinstance(live, type(wanted)):
        yield path
    elif isinstance(wanted, dict):
        for key, value in wanted.items():
            yield from differences(value, live.get(key), (*path, key))
    elif isinstance(wanted, list) and all(isinstance(item, dict) and "name" in item for item in wanted):
        # Merged by name (containers, env, ports, volumes, ...): others may have added some.
        named = {item.get("name"): item for item in live if isinstance(item, dict)}
        for item in wanted:
            yield from differences(item, named.get(item["name"]), (*path, f"[{item['name']}]"))
    elif isinstance(wanted, list) and len(wanted) == len(live):
        for index, item in enumerate(wanted):
            yield from differences(item, live[index], (*path, index))
    elif not (wanted == live or (not wanted and live is None) or _is_same_quantity(wanted, live)):
        yield path


def _is_same_quantity(wanted: Any, live: Any) -> bool:
    """Tell whether two values are one amount: the server writes 1024Mi as 1Gi."""
    first, second = _QUANTITY.fullmatch(str(wanted)), _QUANTITY.fullmatch(str(live))
    if not first or not second or isinstance(wanted, bool) or isinstance(live, bool):
        return False
    return Decimal(first[1]) * _SUFFIXES[first[2] or ""] == Decimal(second[1]) * _SUFFIXES[second[2] or ""]


def mixed_volumes(wanted: Manifest, live: Manifest) -> list[str]:
    """Return the volumes that would be of two kinds at once, were the wanted object applied to the live one.

    Server-side apply removes what we no longer set, but not the defaults that the server added to it (defaultMode).
    """
    named = {volume.get("name"): volume for spec in pod_specs(live) for volume in spec.get("volumes") or []}
    return [
        str(volume["name"])
        for spec in pod_specs(wanted)
        for volume in spec.get("volumes") or []
        if set(named.get(volume.get("name"), volume)) - set(volume)
    ]
