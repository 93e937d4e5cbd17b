"""The way to the files of a claim on kind: through the node's container, which has them in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.data import Claim, ClaimPlace, Reach


def through_node(engine: ContainerEngine, kubectl: Kubectl) -> Reach:
    """Return the way through the node that a claim's volume is pinned to."""

    @contextmanager
    def reach(claim: Claim, _: StepContext) -> Iterator[ClaimPlace]:
        name = str(claim.item["spec"]["volumeName"])
        volume = json.loads(kubectl.call("get", "persistentvolume", name, "-o", "json"))["spec"]
        folder = (volume.get("hostPath") or volume.get("local") or {}).get("path", "")
        node = _node(volume)
        if not folder or not node:
            raise InstallError(
                "volume-elsewhere",
                f"The volume of {claim.key.name} is no folder of a node of this cluster.",
                json.dumps(volume)[:400],
            )
        yield ClaimPlace((engine.name, "exec", "-i", node), str(folder))

    return reach


def _node(volume: dict[str, object]) -> str:
    """Return the node that a volume is pinned to, as the provisioner of kind's class `standard` writes it."""
    affinity = json.loads(json.dumps(volume.get("nodeAffinity") or {}))
    for term in (affinity.get("required") or {}).get("nodeSelectorTerms") or []:
        for expression in [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])]:
            if expression.get("operator") == "In" and expression.get("values"):
                return str(expression["values"][0])
    return ""
