"""Where Grafana sends alerts: a Secret made at run time, beside the release, and in no manifest or cache."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from contextcore_install.providers.kubernetes.objects import FINGERPRINT, RELEASE_LABEL, fingerprint, key_of, pod_specs

SECRET = "grafana-contact-points"  # noqa: S105 - its name
FILE = "contact-points.yaml"
DIGEST = "contextcore-install/contact-points"
"""Annotation of Grafana's pods: it reads these files at its start only, so others want other pods."""


def with_contact_points(objects: Sequence[dict[str, Any]], cluster: str, text: str) -> list[dict[str, Any]]:
    """Return the objects with the Secret that holds a provisioning file, and its digest at the pods that read it.

    Where no pod reads it, as in manifests of the user's own, or where there is no text, nothing is added.
    """
    readers = [item for item in objects if any(f'"{SECRET}"' in json.dumps(spec) for spec in pod_specs(item))]
    if not text or not readers:
        return list(objects)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "namespace": key_of(readers[0]).namespace,
            "labels": {RELEASE_LABEL: cluster, "app.kubernetes.io/part-of": "contextcore"},
        },
        "type": "Opaque",
        "data": {FILE: base64.b64encode(text.encode()).decode()},
    }
    first = next((place for place, item in enumerate(objects) if item.get("kind") != "Namespace"), 0)
    changed = [_annotated(item, digest) if item in readers else item for item in objects]
    return [*changed[:first], _marked(secret), *changed[first:]]


def _annotated(item: dict[str, Any], digest: str) -> dict[str, Any]:
    item = copy.deepcopy(item)
    metadata = item["spec"]["template"].setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), DIGEST: digest}
    return _marked(item)


def _marked(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != FINGERPRINT}
    bare = {**item, "metadata": {**metadata, "annotations": annotations}}
    marked = {**annotations, FINGERPRINT: fingerprint(bare)}
    return {**item, "metadata": {**metadata, "annotations": marked}}
