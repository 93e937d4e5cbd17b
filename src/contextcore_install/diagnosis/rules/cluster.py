"""What is wrong with a cluster of kind that runs. The reasons are our words: Kubernetes and kind have none."""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import Rule

NO_CONTEXT, NO_NOTE, CORDONED, NODES_LOST = "NoContext", "NoNote", "Cordoned", "NodesLost"

RULES: tuple[Rule, ...] = (
    Rule(
        "context-missing",
        "kubectl cannot reach the cluster: {said_by_kubectl}",
        "Have kind write it again.",
        "{export}",
        reasons=frozenset({NO_CONTEXT}),
        automatic=True,
    ),
    Rule(
        "note-lost",
        "The note that this cluster is ours was lost; the cluster itself carries our mark.",
        "Note it again.",
        reasons=frozenset({NO_NOTE}),
        automatic=True,
    ),
    Rule(
        "node-needed",
        "{nodes} takes no new pods (cordoned), and pods wait for it.",
        "Have them take pods again.",
        "kubectl --context kind-{cluster} uncordon {uncordon}",
        reasons=frozenset({CORDONED}),
        where={"pods": "wait"},
        code="node-cordoned",
        automatic=True,
    ),
    # Somebody wants it so.
    Rule(
        "node-cordoned",
        "{nodes} takes no new pods (cordoned).",
        "Have them take pods again.",
        "kubectl --context kind-{cluster} uncordon {uncordon}",
        reasons=frozenset({CORDONED}),
        warning=True,
    ),
    Rule(
        "node-lost",
        "{count} of the cluster's nodes are gone, with what was on them.",
        "Make the cluster anew, with what can be saved of its volumes in a backup.",
        "./create-cluster.sh --repair --allow-data-loss --cluster {cluster}",
        reasons=frozenset({NODES_LOST}),
        risk=Risk.LOSES_DATA,
    ),
)
