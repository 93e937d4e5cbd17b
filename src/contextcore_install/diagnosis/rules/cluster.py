"""What is wrong with a cluster of kind that runs. The reasons are our words: Kubernetes and kind have none."""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import own
from contextcore_install.diagnosis.rule import Rule

NO_CONTEXT, UNREACHED, NO_NOTE, CORDONED, NODES_LOST = ("NoContext", "Unreached", "NoNote", "Cordoned", "NodesLost")
DETACHED, API_SILENT, UNREADY = "Detached", "ApiSilent", "Unready"

RULES: tuple[Rule, ...] = (
    # kind would refuse such a file too, or write into what was never meant for it.
    Rule(
        "kubeconfig-unreadable",
        "kubectl cannot read its configuration, {file}; the cluster itself is well.",
        "Correct the file, or move it aside and have kind write a new one: the contexts of others are in the one that "
        "was moved.",
        "mv {file} {aside} && {export}",
        reasons=frozenset({NO_CONTEXT, UNREACHED}),
        where={"why": "^kubeconfig-unreadable$", "file": "."},
    ),
    Rule(
        "context-missing",
        "kubectl cannot reach the cluster, whose API answers in its own node: {said_by_kubectl}",
        "Have kind write kubectl's context again.",
        "{export}",
        reasons=frozenset({NO_CONTEXT}),
        automatic=True,
    ),
    Rule(
        "api-unreached",
        "The cluster {cluster} is well, and its API answers in its own node; kubectl does not reach it from this "
        "machine with a new context either: {said_by_kubectl}",
        "See what keeps kubectl from it.",
        "{hint}",
        reasons=frozenset({UNREACHED}),
    ),
    Rule(
        "node-detached",
        "{nodes} is not connected to the network {network}, which the nodes share.",
        "Connect it again, and restart its container if its address has changed.",
        "{connect}",
        reasons=frozenset({DETACHED}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "certificates-expired",
        "The cluster's own certificates have expired.",
        "Renew them, and restart the control plane.",
        "{engine} exec {control_plane} kubeadm certs renew all && {engine} restart {control_plane}",
        log=r"certificate has expired or is not yet valid: current time \S+ is after",
        reasons=frozenset({API_SILENT}),
        risk=Risk.RESTARTS,
    ),
    Rule(
        "certificates-early",
        "The cluster's own certificates are valid from {since} on, and the nodes' clock says {now}.",
        "Set the clock of the machine that the container engine runs on.",
        "{engine} exec {control_plane} date",
        log=r"certificate has expired or is not yet valid: current time (?P<now>\S+) is before (?P<since>\S+)",
        reasons=frozenset({API_SILENT}),
    ),
    Rule(
        "api-silent",
        "The containers of the cluster run, but its API server does not answer in its own node: {said_by_kubectl}",
        "Wait for it; restart the control plane's container if it stays dead.",
        "{engine} restart {control_plane}",
        reasons=frozenset({API_SILENT}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "nodes-not-ready",
        "The API answers, but not all nodes are Ready: {nodes}.",
        "Wait for them; restart the container of a node whose kubelet or containerd turns out to be dead.",
        "{engine} restart {restart}",
        reasons=frozenset({UNREADY}),
        risk=Risk.RESTARTS,
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
        own("--repair", "--allow-data-loss", "--cluster", "{cluster}"),
        reasons=frozenset({NODES_LOST}),
        risk=Risk.LOSES_DATA,
    ),
)
