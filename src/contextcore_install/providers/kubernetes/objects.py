"""Kubernetes objects as parsed JSON: schema, keys, pod specs, and how two versions of one differ."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

from contextcore_install.core.schema import validate
from contextcore_install.core.tables import read_table

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


class Key(NamedTuple):
    """What names an object."""

    kind: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """Kind and name, for people."""
        return f"{self.kind}/{self.name}"


class Manifest(dict[str, Any]):
    """One object, as in `kubectl get -o json`. What it does not have of the following is empty."""

    @classmethod
    def checked(cls, document: Any) -> Self:
        """Return an object as Kubernetes has it, without null where a member is read; raises SchemaError."""
        known = document if isinstance(document, dict) else {}
        group = str(known.get("apiVersion") or "v1").rpartition("/")[0]
        is_known = group in _GROUPS or known.get("kind") in _IN_ANY_GROUP
        return cls(validate(document, _MEMBERS if is_known else _OF_ANY_KIND, str(known.get("kind") or "")))

    @property
    def metadata(self) -> dict[str, Any]:
        return self.get("metadata") or {}

    @property
    def spec(self) -> dict[str, Any]:
        return self.get("spec") or {}

    @property
    def status(self) -> dict[str, Any]:
        return self.get("status") or {}

    @property
    def key(self) -> Key:
        return self.key_in("")

    def key_in(self, default_namespace: str) -> Key:
        kind = str(self.get("kind", ""))
        namespace = "" if kind in CLUSTER_KINDS else str(self.metadata.get("namespace") or default_namespace)
        return Key(kind, namespace, str(self.metadata.get("name", "")))

    @property
    def uid(self) -> str:
        return str(self.metadata.get("uid") or "")

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.get("labels") or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.get("annotations") or {}

    def belongs_to(self, cluster: str) -> bool:
        """Tell whether it carries the label of an installation's release."""
        return self.labels.get(RELEASE_LABEL) == cluster

    @property
    def is_ours(self) -> bool:
        """Whether this program applied it, whatever was removed from it by hand since."""
        managers = {entry.get("manager") for entry in self.metadata.get("managedFields", [])}
        return FIELD_MANAGER in managers or bool(self.labels.get(RELEASE_LABEL) or self.annotations.get(FINGERPRINT))

    @property
    def is_deleting(self) -> bool:
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def made_at(self) -> float:
        """When it was made, in seconds since 1970."""
        return moment(self.metadata.get("creationTimestamp"))

    @property
    def conditions(self) -> dict[str, dict[str, Any]]:
        return {str(entry.get("type")): entry for entry in self.status.get("conditions", [])}

    @property
    def is_ready(self) -> bool:
        """Whether a node, or a pod, is Ready, as it said itself last."""
        return self.conditions.get("Ready", {}).get("status") == "True"

    @property
    def replicas(self) -> int:
        """How many pods a workload is to have; of a DaemonSet only a cluster says it."""
        if self.get("kind") == "DaemonSet":
            return int(self.status.get("desiredNumberScheduled", 0))
        return int(self.spec.get("replicas", 1))

    @property
    def is_rolled_out(self) -> bool:
        """Whether a workload has all of its pods, of its newest version, and they are ready."""
        status, wanted = self.status, self.replicas
        if int(status.get("observedGeneration", 0)) < int(self.metadata.get("generation", 0)):
            return False
        if self.get("kind") == "DaemonSet":
            return all(int(status.get(name, 0)) >= wanted for name in ("updatedNumberScheduled", "numberReady"))
        counted = ("updatedReplicas", "readyReplicas", "replicas")
        return all(int(status.get(name, 0)) == wanted for name in counted) and not status.get("unavailableReplicas")

    @property
    def resource(self) -> str:
        """The name by which kubectl finds its kind whatever else is called like it."""
        group, _, version = str(self.get("apiVersion", "v1")).rpartition("/")
        kind = str(self.get("kind", "")).lower()
        return f"{kind}.{version}.{group}".lower() if group else kind

    @property
    def claim_templates(self) -> dict[str, Manifest]:
        found = map(Manifest, self.spec.get("volumeClaimTemplates", []))
        return {item.key.name: item for item in found}

    @property
    def pod_specs(self) -> list[dict[str, Any]]:
        """The pod specs in it: a pod's own, a workload's template, a CronJob's."""
        spec: Any = self.get("spec")
        if not isinstance(spec, dict):
            return []
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        inner = template.get("spec") if isinstance(template, dict) else None
        own = [spec] if self.get("kind") == "Pod" else []
        return [*own, inner] if isinstance(inner, dict) else own

    @property
    def mounted_claims(self) -> dict[str, str]:
        """Volume -> claim, for the volumes of its pod that are on claims."""
        volumes = [volume for spec in self.pod_specs for volume in spec.get("volumes", [])]
        found = {str(item.get("name")): (item.get("persistentVolumeClaim") or {}).get("claimName") for item in volumes}
        return {volume: str(claim) for volume, claim in found.items() if claim}

    @property
    def containers(self) -> list[dict[str, Any]]:
        fields = ("initContainers", "containers", "ephemeralContainers")
        found = (container for spec in self.pod_specs for field in fields for container in spec.get(field) or [])
        return [container for container in found if isinstance(container, dict)]

    @property
    def images(self) -> set[str]:
        return {str(container.get("image", "")) for container in self.containers} - {""}


class Release:
    """The objects that should be there, in the order in which they are applied."""

    def __init__(self, objects: Iterable[Mapping[str, Any]], namespace: str = NAMESPACE) -> None:
        """Take the objects, and the namespace of those that name none."""
        self.objects = tuple(map(Manifest, objects))
        self.namespace = namespace
        self.by_key = {item.key_in(namespace): item for item in self.objects}
        self.workloads = {key: item for key, item in self.by_key.items() if key.kind in WORKLOAD_KINDS}
        self.namespaces = sorted({key.namespace for key in self.by_key} - {""})
        self.images = list(dict.fromkeys(image for item in self.objects for image in sorted(item.images)))


def moment(text: object) -> float:
    """Return a time of RFC 3339 in seconds since 1970; 0 for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def fingerprint(item: Mapping[str, Any]) -> str:
    text = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_secret(name: str, namespace: str, labels: Mapping[str, str], data: Mapping[str, bytes]) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return Manifest(apiVersion="v1", kind="Secret", metadata=metadata, type="Opaque", data=encoded)


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
    if isinstance(wanted, dict | list) and not isinstance(live, dict if isinstance(wanted, dict) else list):
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
    elif not (wanted == live or (not wanted and live is None) or _is_same_amount(wanted, live)):
        yield path


def _is_same_amount(*values: Any) -> bool:
    """Tell whether values are quantities of one amount: the server writes 1024Mi as 1Gi."""
    found = [_QUANTITY.fullmatch(str(value)) for value in values if not isinstance(value, bool)]
    amounts = [Decimal(each[1]) * _SUFFIXES[each[2] or ""] for each in found if each]
    return len(amounts) == len(values) and len(set(amounts)) == 1


def mixed_volumes(wanted: Manifest, live: Manifest) -> list[str]:
    """Return the volumes that would be of two kinds at once, were the wanted object applied to the live one.

    Server-side apply removes what we no longer set, but not the defaults that the server added to it (defaultMode).
    """
    named = {volume.get("name"): volume for spec in live.pod_specs for volume in spec.get("volumes") or []}
    return [
        str(volume["name"])
        for spec in wanted.pod_specs
        for volume in spec.get("volumes") or []
        if set(named.get(volume.get("name"), volume)) - set(volume)
    ]
