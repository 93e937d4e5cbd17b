"""Write docs/reference/kubernetes-rights.yaml from the grants: `make reference`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from contextcore_install.providers.existing_cluster.rights import GRANTS, USES, Grant
from contextcore_install.providers.kubernetes.objects import NAMESPACE

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "kubernetes-rights.yaml"
NAME = "contextcore-install"
_INTRODUCTION = f"""\
# What --provider kube-context does in a cluster, as RBAC rules. Made from the code by `make reference`.
# An administrator grants it to somebody, here jane, in a namespace that exists:
#
#   kubectl create namespace {NAMESPACE}
#   kubectl apply -f kubernetes-rights.yaml
#   kubectl create rolebinding {NAME} --namespace {NAMESPACE} --role {NAME} --user jane
#
# Manifests of your own (--manifests) with other kinds of objects need the verbs of ConfigMaps on these as well.
"""
_CLUSTER_WIDE = """\
---
# Optional, in the whole cluster:
#
#   kubectl create clusterrolebinding contextcore-install --clusterrole contextcore-install --user jane
"""


def page() -> str:
    """Return the whole file."""
    lines = [*_head("Role", NAMESPACE), *(line for use, why in USES.items() for line in _rules(why, GRANTS[use]))]
    wide = [
        *_head("ClusterRole"),
        *_rules("to make the namespace, if it does not exist", GRANTS["namespaces"]),
        *_rules("to name some causes of failures more precisely", GRANTS["looked_at"]),
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n" + _CLUSTER_WIDE + "\n".join(wide) + "\n"


def _head(kind: str, namespace: str = "") -> list[str]:
    place = [f"  namespace: {namespace}"] if namespace else []
    return [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        "metadata:",
        f"  name: {NAME}",
        *place,
        "rules:",
    ]


def _rules(why: str, grants: Iterable[Grant]) -> Iterator[str]:
    yield f"  # {why}"
    for grant in grants:
        yield f'  - apiGroups: ["{grant.group}"]'
        yield f"    resources: [{grant.resource}]"
        yield f"    verbs: [{', '.join(grant.verbs)}]"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
