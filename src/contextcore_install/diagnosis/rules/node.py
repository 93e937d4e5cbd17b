"""Why nodes do not get ready: what their kubelet logs, and the condition that the cluster has of them.

From messages of the kubelet and of Kubernetes' node lifecycle controller.
"""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.hints import own
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns
from contextcore_install.diagnosis.rules.kind import INOTIFY

_BEGIN = "The cluster did not get ready within {seconds} s: "
_NOT_READY = Rule(
    "nodes-not-ready",
    _BEGIN + "{what}.",
    "See what the nodes log; memory and disk are the usual causes.",
    "kind export logs --name {cluster}",
    code="nodes-not-ready",
)

RULES: tuple[Rule, ...] = (
    replace(
        _NOT_READY,
        id="node-inotify",
        sentence=_BEGIN + "{what}, as the kernel's limits of inotify are too low.",
        remedy="Raise them.",
        command=INOTIFY,
        log=r"too many open files|inotify_(init|add_watch)",
    ),
    replace(
        _NOT_READY,
        id="node-disk-full",
        sentence=_BEGIN + "{what}, as there is no space left on the container engine's disk.",
        remedy="Free some space.",
        command="{engine} system df; {engine} image prune",
        log=_patterns.NO_SPACE,
    ),
    replace(
        _NOT_READY,
        id="node-cgroup",
        sentence=_BEGIN + "{what}, as this version of Kubernetes needs cgroup v2.",
        remedy="Boot with cgroup v2, or use an older node image: that makes the cluster anew.",
        command=own("delete", "--cluster", "{cluster}"),
        log=_patterns.CGROUP_V1_REFUSED,
    ),
    replace(
        _NOT_READY,
        id="node-network",
        sentence=_BEGIN + "{what}, as its network does not start.",
        remedy="See how the pods of the cluster's network are.",
        command="kubectl --context kind-{cluster} --namespace kube-system get pods",
        log=r"NetworkPluginNotReady|cni (plugin|config) (not|un)initialized",
    ),
    replace(
        _NOT_READY,
        id="node-runtime",
        sentence=_BEGIN + "{what}, as its container runtime does not answer.",
        remedy="Start the node anew.",
        command="{engine} restart {node}",
        log=r"container runtime is down|PLEG is not healthy|containerd\.sock: connect: connection refused",
    ),
    replace(
        _NOT_READY,
        id="node-silent",
        sentence=_BEGIN + "{what}, as its kubelet tells nothing.",
        remedy="Start the node anew.",
        command="{engine} restart {node}",
        log=r"kubelet stopped posting node status|NodeStatusUnknown|kubelet never posted node status",
    ),
    _NOT_READY,
)
