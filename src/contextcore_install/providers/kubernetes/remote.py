"""The installation's records in its cluster: a ConfigMap and a Lease in the stack's namespace.

They carry no label of the release: they are no part of it, so that it neither lacks nor prunes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import CONFLICT, GONE, Remote, StoredObject
from contextcore_install.providers.kubernetes.client import Kubectl, Reader
from contextcore_install.providers.kubernetes.objects import MANAGED_BY, Key, Manifest
from contextcore_install.system.process import Captured

RECORDS, LEASE = "contextcore-install-state", "contextcore-install"
ASK_WITHIN_S = 10.0

# What kubectl prints of the API's answers 409 and 404 (k8s.io/kubectl/pkg/cmd/util)
_CONFLICT = re.compile(r"\((?:Conflict|AlreadyExists)\)")
_NO_NAMESPACE = re.compile(r"\(NotFound\).*namespaces \"", re.DOTALL)


def remote_in(kubectl: Kubectl, namespace: str, reader: Reader | None = None) -> Remote:
    """Return the records in a namespace, which is made when something is first written.

    With a reader that reads Leases before all else in the namespace, they are first read with what it reads.
    """
    records = ObjectSlot(kubectl, namespace, "v1", "ConfigMap", RECORDS, "data", reader)
    lease = ObjectSlot(kubectl, namespace, "coordination.k8s.io/v1", "Lease", LEASE, "spec", reader)
    place = f"ConfigMap {RECORDS} of {kubectl.context}"
    return Remote(place, records, lease, is_read_with_checks=reader is not None)


@dataclass(slots=True)
class ObjectSlot:
    """A Slot that is one member of a Kubernetes object; its version is the object's resourceVersion.

    `reader` reads it the first time, if there is one: what it has read before does not count once others were at work.
    """

    kubectl: Kubectl
    namespace: str
    api_version: str
    kind: str
    name: str
    member: str
    reader: Reader | None = None
    _was_read: bool = False

    def read(self) -> StoredObject | None:
        found = self._look()
        if found is None:
            return None
        content, version = found.get(self.member, {}), found.metadata.get("resourceVersion")
        if not isinstance(content, dict) or not isinstance(version, str):
            message = f"kubectl printed what is no {self.kind}."
            raise InstallError("kubectl-answer", message, json.dumps(found)[:400], retryable=True)
        return StoredObject(content, version)

    def _look(self) -> Manifest | None:
        if self.reader is not None and not self._was_read and self.namespace in self.reader.namespaces():
            self._was_read = True
            return self.reader.read().get(Key(self.kind, self.namespace, self.name))
        if self.reader is not None:
            self.reader.forget()
        return next(iter(self.kubectl.items(self.kind.lower(), self.name, "-n", self.namespace)), None)

    def write(self, content: Mapping[str, Any], version: str) -> str:
        """Make or replace the object; the namespace is made if it is missing. Raises InstallError."""
        verb, seen = ("replace", {"resourceVersion": version}) if version else ("create", {})
        metadata = {"name": self.name, "namespace": self.namespace, "labels": MANAGED_BY, **seen}
        document = {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, self.member: dict(content)}
        done = self._send(verb, document)
        if not version and _NO_NAMESPACE.search(done.stderr):
            labelled = {"name": self.namespace, "labels": MANAGED_BY}
            made = self._send("create", {"apiVersion": "v1", "kind": "Namespace", "metadata": labelled})
            if made.exit_code != 0 and not _CONFLICT.search(made.stderr):
                raise self.kubectl.failure(made)
            done = self._send(verb, document)
        if done.exit_code == 0:
            return done.stdout.strip()
        if self.reader is not None:
            self.reader.forget()
        if _CONFLICT.search(done.stderr):
            raise InstallError(CONFLICT, f"{self.kind} {self.name} was changed by somebody else", done.stderr[:400])
        if "(NotFound)" in done.stderr:
            raise InstallError(GONE, f"{self.kind} {self.name} is gone", done.stderr[:400])
        raise self.kubectl.failure(done)

    def remove(self) -> None:
        about = (self.kind.lower(), self.name, "-n", self.namespace)
        self.kubectl.call("delete", *about, "--ignore-not-found", "--wait=false", timeout_s=ASK_WITHIN_S)

    def _send(self, verb: str, document: Mapping[str, Any]) -> Captured:
        # Without validation, which would fetch the API's whole schema first; the API itself refuses what is wrong.
        options = ("--validate=false", "-o", "jsonpath={.metadata.resourceVersion}", "-f", "-")
        return self.kubectl.attempt(verb, *options, stdin=json.dumps(document), timeout_s=ASK_WITHIN_S)
