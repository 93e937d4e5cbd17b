"""What this user may do in the cluster: asked once for all, as `kubectl auth can-i` asks for one."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.providers.existing_cluster.grants import APPLIED, GRANTS, NAMESPACES, Use
from contextcore_install.providers.kubernetes.client import Kubectl, items_of
from contextcore_install.providers.kubernetes.objects import Manifest, Release, key_of

# As the API says it (k8s.io/apimachinery, api/errors). Where this user may make nothing, other rights are missing too.
_NOT_THERE = re.compile(r'\(NotFound\).*namespaces "|\(Forbidden\)')


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
    """Return what installing takes: the grants for it, and the same verbs on whatever else the release holds."""
    found = [
        Right(verb, grant.group, *grant.parts, namespace)
        for namespace in release.namespaces
        for grant in GRANTS
        if grant.use is Use.INSTALL
        for verb in grant.verbs
    ]
    known = {(grant.group, grant.resource) for grant in GRANTS}
    for item in release.objects:
        resource = _resource(item)
        if item["kind"] == "Namespace":
            verbs: Sequence[str] = NAMESPACES.verbs
        else:
            verbs = () if resource in known else APPLIED
        found += [Right(verb, *resource, "", key_of(item, release.namespace).namespace) for verb in verbs]
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


def namespaces_are_there(kubectl: Kubectl, release: Release) -> bool:
    """Tell whether the release's namespaces exist, by no more than rights in them. Raises InstallError."""
    wanted = {item["metadata"]["name"] for item in release.objects if item["kind"] == "Namespace"}
    return all(_is_there(kubectl, name) for name in sorted({*wanted, *release.namespaces}))


def _is_there(kubectl: Kubectl, namespace: str) -> bool:
    try:
        return bool(kubectl.items("namespace", namespace))
    except InstallError as error:
        if error.code != "api-forbidden":
            raise
    # Lists of what is in a namespace are empty if there is none; only who would make something in it is told.
    name = f"contextcore-install-{secrets.token_hex(4)}"
    done = kubectl.attempt("create", "configmap", name, "-n", namespace, "--dry-run=server", "-o", "name")
    return done.exit_code == 0 or not _NOT_THERE.search(done.stderr)


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
