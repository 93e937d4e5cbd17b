"""What a learner types to do with kubectl what the steps do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER
from contextcore_install.providers.kubernetes.releases import GRAFANA_ADMIN
from contextcore_install.providers.kubernetes.render import NAMESPACE

WITHOUT_NODE_PORTS = "sed -e 's/type: NodePort/type: ClusterIP/' -e '/nodePort:/d'"
"""In a cluster that others use as well, Services keep to the inside."""


def by_hand(step_id: str, kubectl: Kubectl, manifests: Path, *, node_ports: bool = True) -> Sequence[str]:
    """Return the commands for a step; empty for one that asks nothing of kubectl."""
    inside = ("-n", NAMESPACE)
    if step_id == "manifests_apply":
        password = ("--from-literal=admin-user=admin", "--from-literal=admin-password=CHOOSE-ONE")
        apply = ("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}")
        rendered = f"kubectl kustomize {shlex.quote(str(manifests))} | {WITHOUT_NODE_PORTS} | "
        return [
            kubectl.shown("create", "namespace", NAMESPACE),
            kubectl.shown(*inside, "create", "secret", "generic", GRAFANA_ADMIN, *password),
            kubectl.shown(*apply, "-k", str(manifests)) if node_ports else rendered + kubectl.shown(*apply, "-f", "-"),
        ]
    if step_id == "pods_ready":
        return [kubectl.shown(*inside, "get", "pods", "--watch")]
    return []
