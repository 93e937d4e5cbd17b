"""What Kubernetes' objects look like where this program reads them (Kubernetes API reference, v1 of each group).

An API server gives nothing else; what stands between may: a kubectl that is a script, a file of somebody's manifests.
"""

from __future__ import annotations

from typing import Any

from contextcore_install.core.schema import validate

_OBJECT: dict[str, Any] = {}
_META: dict[str, Any] = {
    "name": str,
    "namespace": str,
    "labels": _OBJECT,
    "annotations": _OBJECT,
    "generation": int,
    "finalizers": [str],
    "ownerReferences": [_OBJECT],
    "managedFields": [{"fieldsV1": _OBJECT}],
}
_CONTAINER: dict[str, Any] = {
    "ports": [_OBJECT],
    "volumeMounts": [_OBJECT],
    "securityContext": _OBJECT,
    "env": [{"valueFrom": {"configMapKeyRef": _OBJECT, "secretKeyRef": _OBJECT}}],
    "envFrom": [{"configMapRef": _OBJECT, "secretRef": _OBJECT}],
}
_POD: dict[str, Any] = {
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "securityContext": _OBJECT,
    "volumes": [
        {
            "persistentVolumeClaim": _OBJECT,
            "configMap": _OBJECT,
            "secret": _OBJECT,
            "hostPath": _OBJECT,
            "projected": {"sources": [{"configMap": _OBJECT, "secret": _OBJECT}]},
        }
    ],
}
_TEMPLATE: dict[str, Any] = {"metadata": _META, "spec": _POD}
_STATE: dict[str, Any] = {
    "waiting": {"reason": str, "message": str},
    "running": {"startedAt": str},
    "terminated": {"exitCode": int, "reason": str},
}
_CONTAINERS: list[Any] = [{"restartCount": int, "state": _STATE, "lastState": _STATE}]
_CONDITIONS: list[Any] = [{"type": str}]
_COUNTS = (
    "observedGeneration",
    "replicas",
    "readyReplicas",
    "updatedReplicas",
    "unavailableReplicas",
    "desiredNumberScheduled",
    "updatedNumberScheduled",
    "numberReady",
)
_WORKLOAD: dict[str, Any] = {
    "spec": {
        "replicas": int,
        "selector": {"matchLabels": _OBJECT},
        "template": _TEMPLATE,
        "volumeClaimTemplates": [{"metadata": _META, "spec": _OBJECT}],
    },
    "status": {**dict.fromkeys(_COUNTS, int), "conditions": _CONDITIONS},
}
_CONDITIONED: dict[str, Any] = {"spec": _OBJECT, "status": {"conditions": _CONDITIONS}}

_BY_KIND: dict[str, dict[str, Any]] = {
    "Pod": {
        "spec": _POD,
        "status": {"conditions": _CONDITIONS, "initContainerStatuses": _CONTAINERS, "containerStatuses": _CONTAINERS},
    },
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), _WORKLOAD),
    "Job": {"spec": {"template": _TEMPLATE}, "status": _OBJECT},
    "CronJob": {"spec": {"jobTemplate": {"spec": {"template": _TEMPLATE}}}},
    "Service": {"spec": {"selector": _OBJECT, "ports": [{"port": int, "nodePort": int}]}, "status": _OBJECT},
    "Endpoints": {"subsets": [{"addresses": [_OBJECT]}]},
    "Node": {"spec": {"taints": [_OBJECT]}, "status": {"conditions": _CONDITIONS, "images": [_OBJECT]}},
    "Lease": {"spec": _OBJECT},
    "Event": {"involvedObject": _OBJECT, "lastTimestamp": str, "eventTime": str},
    "ConfigMap": {"data": _OBJECT},
    "Secret": {"data": _OBJECT},
    **dict.fromkeys(("Namespace", "PersistentVolume", "PersistentVolumeClaim"), _CONDITIONED),
    "SelfSubjectAccessReview": {"status": _OBJECT},
}


def as_kubernetes_object(document: Any) -> dict[str, Any]:
    """Return an object as Kubernetes has it, null members gone where they are read; raises ShapeError."""
    kind = document.get("kind") if isinstance(document, dict) else None
    shape = _BY_KIND.get(kind, _OBJECT) if isinstance(kind, str) else _OBJECT
    found: dict[str, Any] = validate(
        document, {"kind": str, "apiVersion": str, "metadata": _META, **shape}, str(kind or "")
    )
    return found
