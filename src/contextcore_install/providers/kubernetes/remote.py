"""The installation's records in its cluster: a ConfigMap and a Lease in the stack's namespace.

They carry no label of the release: they are no part of it, so that it neither lacks nor prunes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import CONFLICT, GONE, Remote, StoredObject
from contextcore_install.providers.kubernetes.client import Kubectl, items_of
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER
from contextcore_install.system.capture import Captured

RECORDS, LEASE = "contextcore-install-state", "contextcore-install"
ASK_WITHIN_S = 10.0

# What kubectl prints of the API's answers 409 and 404 (k8s.io/kubectl/pkg/cmd/util)
_CONFLICT = re.compile(r"\((?:Conflict|AlreadyExists)\)")
_NO_NAMESPACE = re.compile(r"\(NotFound\).*namespaces \"", re.DOTALL)
_GONE = re.compile(r"\(NotFound\)")


def remote_in(kubectl: Kubectl, namespace: str) -> Remote:
    """Return the way to the records in a namespace, which is made when something is first written."""
    records = ObjectSlot(kubectl, namespace, "v1", "ConfigMap", RECORDS, "data")
    lease = ObjectSlot(kubectl, namespace, "coordination.k8s.io/v1", "Lease", LEASE, "spec")
    return Remote(f"ConfigMap {RECORDS} of {kubectl.context}", records, lease)


@dataclass(frozen=True, slots=True)
class ObjectSlot:
    """A Slot that is one member of a Kubernetes object; its version is the object's resourceVersion."""

    kubectl: Kubectl
    namespace: str
    api_version: str
    kind: str
    name: str
    member: str

    def read(self) -> StoredObject | None:
        """Return what the object holds. Raises InstallError, `kubectl-answer` for what is no object."""
        text = self.kubectl.call(
            "get", self.kind.lower(), self.name, "-n", self.namespace, "-o", "json", "--ignore-not-found",
            timeout_s=ASK_WITHIN_S,
        )  # fmt: skip
        found = items_of(text)
        if not found:
            return None
        content, version = found[0].get(self.member) or {}, found[0]["metadata"].get("resourceVersion")
        if not isinstance(content, dict) or not isinstance(version, str):
            raise InstallError("kubectl-answer", f"kubectl printed what is no {self.kind}.", text[:400], retryable=True)
        return StoredObject(content, version)

    def write(self, content: Mapping[str, Any], version: str) -> str:
        """Make or replace the object; the namespace is made where it is missing. Raises InstallError."""
        if version:
            return self._sent(lambda: self._send("replace", self._document(content, version)))
        try:
            return self._sent(lambda: self._send("create", self._document(content, "")))
        except InstallError as error:
            if error.code != GONE or not _NO_NAMESPACE.search(error.evidence):
                raise
        self._make_namespace()
        return self._sent(lambda: self._send("create", self._document(content, "")))

    def remove(self) -> None:
        """Remove the object. Raises InstallError."""
        self.kubectl.call(
            "delete", self.kind.lower(), self.name, "-n", self.namespace, "--ignore-not-found", "--wait=false",
            timeout_s=ASK_WITHIN_S,
        )  # fmt: skip

    def _document(self, content: Mapping[str, Any], version: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
        }
        if version:
            metadata["resourceVersion"] = version
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, self.member: dict(content)}

    def _send(self, verb: str, document: Mapping[str, Any]) -> Captured:
        # Without validation, which would fetch the API's whole schema first; the API itself refuses what is wrong.
        return self.kubectl.attempt(
            verb, "--validate=false", "-o", "jsonpath={.metadata.resourceVersion}", "-f", "-",
            stdin=json.dumps(document), timeout_s=ASK_WITHIN_S,
        )  # fmt: skip

    def _sent(self, send: Callable[[], Captured]) -> str:
        done = send()
        if done.exit_code == 0:
            return done.stdout.strip()
        for pattern, code, what in ((_CONFLICT, CONFLICT, "was changed by somebody else"), (_GONE, GONE, "is gone")):
            if pattern.search(done.stderr):
                raise InstallError(code, f"{self.kind} {self.name} {what}", done.stderr[:400])
        raise self.kubectl.failure(done)

    def _make_namespace(self) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
        }
        done = self._send("create", document)
        if done.exit_code != 0 and not _CONFLICT.search(done.stderr):
            raise self.kubectl.failure(done)
