"""What this user may do in the cluster: asked once for all, as `kubectl auth can-i` asks for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.providers._kubectl.client import Kubectl, items_of
from contextcore_install.providers._kubectl.objects import Manifest, key_of
from contextcore_install.providers._kubectl.render import Release

_VERBS = ("get", "list", "create", "patch", "delete")
#: Besides the release's own kinds: what is watched, read when something fails, and passed through.
_MORE = (
    ("list", "", "pods", ""),
    ("watch", "", "pods", ""),
    ("delete", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("create", "", "pods", "portforward"),
    ("list", "", "persistentvolumeclaims", ""),
    ("list", "", "events", ""),
    ("create", "", "secrets", ""),
)


@dataclass(frozen=True, slots=True)
class Right:
    """Something one may do, or not: a verb on a kind of object."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str

    @property
    def shown(self) -> str:
        """The arguments of `kubectl auth can-i`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        sub = f" --subresource={self.subresource}" if self.subresource else ""
        return f"{self.verb} {resource}{sub}" + (f" -n {self.namespace}" if self.namespace else "")


def rights_needed(release: Release) -> list[Right]:
    """Return what applying, watching and pruning the release takes."""
    found = [
        Right(verb, *_resource(item), "", key_of(item, release.namespace).namespace)
        for item in release.objects
        for verb in (_VERBS if item["kind"] != "Namespace" else ("get", "create", "patch"))
    ]
    found += [Right(*more, name) for name in release.namespaces for more in _MORE]
    return list(dict.fromkeys(found))


def rights_missing(kubectl: Kubectl, release: Release) -> list[Right]:
    """Return what this user may not do of what is needed. Raises InstallError."""
    needed = rights_needed(release)
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {
                "resourceAttributes": {
                    "verb": right.verb,
                    "group": right.group,
                    "resource": right.resource,
                    "subresource": right.subresource,
                    "namespace": right.namespace,
                }
            },
        }
        for right in needed
    ]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    text = kubectl.call("create", "--validate=false", "-o", "json", "-f", "-", stdin=document, timeout_s=20)
    answers = items_of(text)
    allowed = [bool((answer.get("status") or {}).get("allowed")) for answer in answers]
    return [right for right, may in zip(needed, allowed, strict=False) if not may]


def rights_finding(missing: Sequence[Right], kubectl: Kubectl, release: Release) -> Finding | None:
    """Return what stands in the way; a namespace that is there need not be made."""
    if not missing:
        return None
    places = " and ".join(sorted({right.namespace for right in missing} - {""})) or release.namespace
    remedy = Remedy(
        "Ask the cluster's administrator for these rights, or use another context.",
        kubectl.shown("auth", "can-i", *missing[0].shown.split()),
    )
    return Finding(
        "rights-missing",
        f"This user may not do all that the installation needs in the namespace {places}.",
        "may not: " + "; ".join(right.shown for right in missing),
        remedy,
    )


def _resource(item: Manifest) -> tuple[str, str]:
    """Return a kind's group, and its name as the API spells it."""
    group = str(item.get("apiVersion", "v1")).rpartition("/")[0]
    kind = str(item.get("kind", "")).lower()
    plural = kind[:-1] + "ies" if kind.endswith("y") else kind + ("es" if kind.endswith("s") else "s")
    return group, plural
