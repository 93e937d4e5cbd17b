"""Why no node takes a pod, or none keeps it. From messages of the scheduler and the kubelet."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules.pod_reasons import DESCRIBE, UNSCHEDULABLE

_NO_NODE = frozenset({UNSCHEDULABLE})
_TAINTED = r"had (?:untolerated )?taint "
_TAINTS = "{kubectl} get nodes -o custom-columns=NODE:.metadata.name,TAINTS:.spec.taints"

_NO_PLACE = Rule(
    "unschedulable",
    "{workload} fits on no node.",
    "See what the scheduler says.",
    DESCRIBE,
    reasons=_NO_NODE,
    code="unschedulable",
    lasts_s=20.0,
)
SCHEDULING: tuple[Rule, ...] = (
    # What is known of the very node that a pod needs comes before the scheduler's count of them all.
    replace(
        _NO_PLACE,
        id="taint-in-the-way",
        sentence="{workload} fits on no node: {tainted} has the taint {taint}, which it does not tolerate.",
        remedy="Take the taint away, or have the manifests tolerate it.",
        command="{untaint}",
        where={"untaint": "."},
        lasts_s=6.0,
    ),
    replace(
        _NO_PLACE,
        id="volume-node-gone",
        sentence="{workload} fits on no node: its volume is on {gone}, which is not in the cluster any more.",
        remedy="Bring that node back, or the data from a backup.",
        command="{kubectl} get nodes",
        where={"gone": "."},
        lasts_s=6.0,
    ),
    replace(
        _NO_PLACE,
        id="node-closed",
        sentence="{workload} fits on no node: {cordoned} takes no new pods (cordoned).",
        remedy="Have it take pods again.",
        command="{uncordon}",
        where={"cordoned": "."},
        lasts_s=30.0,
    ),
    replace(
        _NO_PLACE,
        id="resource-short",
        sentence="{workload} fits on no node: there is not enough {resource}.",
        remedy="Free some {resource}, give the cluster more, or request less in the manifests.",
        message=r"\d+ Insufficient (?P<resource>[\w/-]+(\.[\w/-]+)*)",
    ),
    Rule(
        "claim-unbound",
        "{workload} waits for its claim, which has no volume yet, or is made anew with its pod.",
        reasons=_NO_NODE,
        message=r"unbound immediate PersistentVolumeClaims"
        r"|persistentvolumeclaim \S+ (not found|is being deleted)",
        passing="waits for its volume",
    ),
    Rule(
        "nodes-not-taking",
        "{workload} waits for a node: those that there are start, cannot be reached, or are cordoned.",
        reasons=_NO_NODE,
        message=r"node\.kubernetes\.io/(not-ready|unreachable|network-unavailable|unschedulable)"
        r"|were unschedulable|network-unavailable",
        passing="waits for a node",
    ),
    replace(
        _NO_PLACE,
        id="node-pressure",
        sentence="{workload} fits on no node: the nodes run out of {resource}.",
        remedy="Free some {resource} on the nodes.",
        command="{kubectl} describe nodes",
        message=r"node\.kubernetes\.io/(?P<resource>disk|memory|pid)-pressure",
    ),
    replace(
        _NO_PLACE,
        id="node-tainted",
        sentence="{workload} fits on no node: they have the taint {taint}, which it does not tolerate.",
        remedy="Take the taint from a node, or have the manifests tolerate it.",
        command=_TAINTS,
        message=_TAINTED + r"\{(?!node-role\.kubernetes\.io/)(?P<taint>[^:}]+)",
    ),
    replace(
        _NO_PLACE,
        id="volume-elsewhere",
        sentence="{workload} fits on no node: its volume is on one that does not take it.",
        remedy="Bring the node with the volume back, or make room on it.",
        command="{kubectl} get nodes; {kubectl} describe persistentvolumes",
        message=r"volume node affinity conflict|didn't match PersistentVolume's node affinity",
    ),
    replace(
        _NO_PLACE,
        id="control-plane-alone",
        sentence="{workload} fits on no node: there is none but the control plane, which takes no work ({taint}).",
        remedy="Add a node, or take the taint away.",
        command=_TAINTS,
        message=_TAINTED + r"\{(?P<taint>[^:}]+)",
    ),
    replace(
        _NO_PLACE,
        id="node-selector",
        sentence="{workload} fits on no node: none has the labels that its manifest asks for.",
        remedy="Label a node, or correct nodeSelector and affinity in the manifests.",
        command="{kubectl} get nodes --show-labels",
        message=r"didn't match (pod's )?node (affinity|selector)",
    ),
    replace(
        _NO_PLACE,
        id="nodes-crowded",
        sentence="{workload} fits on no node: each has as many pods as it may.",
        remedy="Remove pods that are not needed, or add a node.",
        message=r"too many pods",
    ),
    replace(
        _NO_PLACE,
        id="host-port-taken",
        sentence="{workload} fits on no node: the port that it wants of its node is taken.",
        remedy="End the pod that has it, or leave out hostPort in the manifests.",
        message=r"didn't have free ports",
    ),
    _NO_PLACE,
    Rule(
        "not-placed",
        "The scheduler cannot give {workload} a node: {message}",
        "See what the scheduler says, and how it is itself.",
        DESCRIBE,
        reasons=frozenset({"SchedulerError"}),
        code="unschedulable",
        lasts_s=20.0,
    ),
)

NODES: tuple[Rule, ...] = (
    Rule(
        "sandbox-failed",
        "{workload} cannot start: its node cannot set up its network.",
        "Wait for its node to try again; if it goes on, see how the pods of the cluster's network are.",
        "{kubectl} get pods --namespace kube-system -o wide",
        automatic=True,
        reasons=frozenset({"FailedCreatePodSandBox"}),
        lasts_s=60.0,
    ),
    Rule(
        "evicted",
        "{workload} was evicted: its node runs out of {resource}.",
        "Free some {resource} on the node; a new pod is made by itself.",
        DESCRIBE,
        reasons=frozenset({"Evicted"}),
        message=r"low on resource: (?P<resource>[\w-]+)",
        automatic=True,
        lasts_s=20.0,
    ),
    Rule(
        "evicted-for-its-use",
        "{workload} was evicted: it used more of its node's disk than its limit.",
        "Give it a higher limit of ephemeral-storage or of its emptyDir in the manifests.",
        DESCRIBE,
        reasons=frozenset({"Evicted"}),
        automatic=True,
        code="evicted",
        lasts_s=20.0,
    ),
    Rule(
        "refused-by-node",
        "{workload} was refused by its node, which has no room for it any more: {reason}.",
        "Free some of the node, give it more, or request less in the manifests.",
        DESCRIBE,
        reasons=frozenset({"OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage"}),
        lasts_s=20.0,
    ),
    Rule(
        "node-shut-down",
        "{workload} ended as its node was shut down; a new pod is made by itself.",
        reasons=frozenset({"NodeShutdown", "Terminated", "NodeLost"}),
        passing="ended with its node",
    ),
)
