"""What this program does in somebody's cluster, as RBAC knows it (rights.toml), and what of it this user may not do."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from contextcore_install.core.dataclass import asdict, dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.tables import read_table
from contextcore_install.providers.kubernetes.client import Kubectl, items_of
from contextcore_install.providers.kubernetes.objects import Manifest, Release

# As the API says it (k8s.io/apimachinery, api/errors). If this user may make nothing, other rights are missing too.
_NOT_THERE = re.compile(r'\(NotFound\).*namespaces "|\(Forbidden\)')


@dataclass(frozen=True, slots=True)
class Grant:
    """Verbs on a resource, in each namespace of the release."""

    resource: str
    verbs: Sequence[str]
    group: str = ""


_TABLE = read_table(Path(__file__).with_suffix(".toml"))
APPLIED: Sequence[str] = _TABLE["applied"]
USES: Mapping[str, str] = _TABLE["uses"]
GRANTS = {use: [Grant(**row) for row in rows] for use, rows in _TABLE["grants"].items()}


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a kind of object, as a SelfSubjectAccessReview takes it."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str

    def __str__(self) -> str:
        """The arguments of `kubectl auth can-i`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        sub = f" --subresource={self.subresource}" if self.subresource else ""
        return f"{self.verb} {resource}{sub}" + (f" -n {self.namespace}" if self.namespace else "")


def rights_needed(release: Release) -> list[Right]:
    """Return what installing takes: the grants for it, and the same verbs on whatever else the release holds."""
    grants = [(namespace, grant) for namespace in release.namespaces for grant in GRANTS["install"]]
    known = {(grant.group, grant.resource) for use in USES for grant in GRANTS[use]}
    for key, item in release.by_key.items():
        group, resource = _resource(item)
        if key.kind == "Namespace":
            grants += [("", grant) for grant in GRANTS["namespaces"]]
        elif (group, resource) not in known:
            grants.append((key.namespace, Grant(resource, APPLIED, group)))
    found = []
    for namespace, grant in grants:
        resource, _, subresource = grant.resource.partition("/")
        found += [Right(verb, grant.group, resource, subresource, namespace) for verb in grant.verbs]
    return list(dict.fromkeys(found))


def rights_finding(kubectl: Kubectl, release: Release) -> Finding | None:
    """Return which rights stand in the way; a namespace that exists need not be made. Raises InstallError."""
    needed = rights_needed(release)
    about = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    reviews = [{**about, "spec": {"resourceAttributes": asdict(right)}} for right in needed]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    text = kubectl.call("create", "--validate=false", "-o", "json", "-f", "-", stdin=document, timeout_s=20)
    allowed = [bool(answer.get("status", {}).get("allowed")) for answer in items_of(text)]
    missing = [right for right, may in zip(needed, allowed, strict=False) if not may]
    others = [right for right in missing if right.resource != "namespaces"]
    namespaces = {*release.namespaces, *(key.name for key in release.by_key if key.kind == "Namespace")}
    is_there = others != missing and all(_exists(kubectl, name) for name in sorted(namespaces))
    missing = others if is_there else missing
    if not missing:
        return None
    places = " and ".join(sorted({right.namespace for right in missing} - {""})) or release.namespace
    return Finding(
        "rights-missing",
        f"This user may not do all that the installation needs in the namespace {places}.",
        "may not: " + "; ".join(map(str, missing)),
        Remedy(
            "Ask the cluster's administrator for these rights, or use another context.",
            kubectl.shown("auth", "can-i", *str(missing[0]).split()),
        ),
    )


def _exists(kubectl: Kubectl, namespace: str) -> bool:
    """Tell whether a namespace exists, by no more than rights in it. Raises InstallError."""
    try:
        return bool(kubectl.items("namespace", namespace))
    except InstallError as error:
        if error.code != "api-forbidden":
            raise
    # Lists of what is in a namespace are empty if there is none; only a request to make something in it is refused.
    name = f"contextcore-install-{secrets.token_hex(4)}"
    done = kubectl.attempt("create", "configmap", name, "-n", namespace, "--dry-run=server", "-o", "name")
    return done.exit_code == 0 or not _NOT_THERE.search(done.stderr)


def _resource(item: Manifest) -> tuple[str, str]:
    """Return a kind's group, and its name as the API spells it."""
    group = str(item.get("apiVersion", "v1")).rpartition("/")[0]
    kind = str(item.get("kind", "")).lower()
    plural = kind[:-1] + "ies" if kind.endswith("y") else kind + ("es" if kind.endswith("s") else "s")
    return group, plural
