"""Namespaces: who may change one, waiting for one that is being deleted, and what holds one that does not go."""

from __future__ import annotations

import re
from collections.abc import Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.diagnose import explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.client import Kubectl

DELETE_WITHIN_S = 180.0
LOOK_EVERY_S = 20.0
"""Between two looks at what holds a namespace. Whoever is to take a finalizer away does so in moments, or never."""

#: As Kubernetes says it (pkg/controller/namespace/deletion/status_condition_utils.go).
_FINALIZER = re.compile(r"([\w./-]+) in \d+ resource instances")
_KUBERNETES_OWN = re.compile(r"^(kubernetes\.io/.*|[\w.-]+\.kubernetes\.io/.*|foregroundDeletion|orphan)$")


def may_change(kubectl: Kubectl, name: str) -> bool:
    """Tell whether this user may change a namespace, as far as the API says. Raises InstallError."""
    done = kubectl.attempt("auth", "can-i", "patch", f"namespaces/{name}", "-n", name)
    return not done.stdout.startswith("no")


def wait_until_gone(kubectl: Kubectl, name: str, ctx: StepContext) -> None:
    """Wait for a namespace to go.

    Raises InstallError `namespace-terminating` with what holds it: after `DELETE_WITHIN_S`, and as soon as the same
    finalizers of somebody else's were seen in two looks.
    """
    left_s, seen = min(ctx.remaining_s, DELETE_WITHIN_S), frozenset[str]()
    while True:
        look_s = min(left_s, LOOK_EVERY_S)
        done = kubectl.attempt(
            "wait", "--for=delete", f"namespace/{name}", f"--timeout={look_s:.0f}s", ctx=ctx, timeout_s=look_s + 10
        )
        if done.exit_code == 0:
            return
        left_s -= look_s
        said = _conditions(kubectl, name, ctx)
        holders = _somebody_elses(said)
        if left_s <= 0 or (holders and holders == seen):
            raise _held(kubectl, name, said)
        seen = holders


def _conditions(kubectl: Kubectl, name: str, ctx: StepContext) -> Sequence[str]:
    """Return what Kubernetes says of a namespace while it goes: reason and message of each condition that is so."""
    items = kubectl.items("namespace", name, ctx=ctx)
    status = next((item.get("status") or {} for item in items if item["metadata"]["name"] == name), {})
    return [
        f"{entry.get('reason', '')}: {entry.get('message', '')}"
        for entry in status.get("conditions") or []
        if entry.get("status") == "True"
    ]


def _somebody_elses(said: Sequence[str]) -> frozenset[str]:
    """Return the finalizers that Kubernetes itself does not take away."""
    named = {found for line in said for found in _FINALIZER.findall(line)}
    return frozenset(name for name in named if not _KUBERNETES_OWN.match(name))


def _held(kubectl: Kubectl, name: str, said: Sequence[str]) -> InstallError:
    facts = {**kubectl.facts, "namespace": name}
    return explain(Subject.NAMESPACE, Evidence(name, said, facts=facts)).error()
