"""Everything that the program does in somebody's cluster, as RBAC knows it: verbs on resources, and what for.

The probe before an installation, the documentation and the tests' Role are made from this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

APPLIED = ("get", "list", "create", "patch", "delete")
"""The verbs on whatever kinds the manifests hold: server-side apply is a patch, also of what is not there yet."""


class Use(StrEnum):
    """What a grant is needed for. Only what installing needs is asked for before an installation."""

    INSTALL = "to install, verify and repair"
    RECORDS = "to keep the installation's records, and a lock on them, in the cluster; without it they stay local"
    COPY = "for backup and restore, and to try out early what the cluster refuses of a pod"
    DELETE = "to delete the installation with its data, and to make a claim anew that never held anything"


@dataclass(frozen=True, slots=True)
class Grant:
    """Verbs on a resource, in each namespace of the release. A subresource follows its resource after a slash."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    use: Use = Use.INSTALL

    @property
    def parts(self) -> tuple[str, str]:
        """Resource and subresource."""
        resource, _, subresource = self.resource.partition("/")
        return resource, subresource


GRANTS: tuple[Grant, ...] = (
    Grant("", "configmaps", APPLIED),
    Grant("", "secrets", APPLIED),
    Grant("", "services", APPLIED),
    Grant("apps", "statefulsets", APPLIED),
    Grant("", "pods", ("get", "list", "watch", "delete")),
    Grant("", "pods/log", ("get",)),
    Grant("", "pods/portforward", ("create",)),
    Grant("", "persistentvolumeclaims", ("list",)),
    Grant("", "events", ("list",)),
    Grant("", "configmaps", ("update",), Use.RECORDS),
    Grant("coordination.k8s.io", "leases", ("get", "create", "update", "delete"), Use.RECORDS),
    Grant("", "pods", ("create",), Use.COPY),
    Grant("", "pods/exec", ("create",), Use.COPY),
    Grant("apps", "statefulsets/scale", ("get", "patch", "update"), Use.COPY),
    # Without `get` and `watch`, kubectl does not wait until a claim is gone, and says nothing of that.
    Grant("", "persistentvolumeclaims", ("get", "watch", "delete"), Use.DELETE),
)
NAMESPACES = Grant("", "namespaces", ("get", "create", "patch"))
"""Cluster-wide, and only if the namespace of the release is to be made."""
LOOKED_AT: tuple[Grant, ...] = (
    Grant("", "nodes", ("list",)),
    Grant("storage.k8s.io", "storageclasses", ("list",)),
    Grant("admissionregistration.k8s.io", "validatingwebhookconfigurations, mutatingwebhookconfigurations", ("list",)),
)
"""Cluster-wide, and never needed: with them, some causes of failures are named more precisely."""
