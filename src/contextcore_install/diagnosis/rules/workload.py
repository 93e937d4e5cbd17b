"""Why a workload has no pod. `Missing` is our word for an object that is not there.

From messages of Kubernetes' controllers, quota and PodSecurity admission.
"""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import REPAIR, Rule

MISSING = "Missing"

_REFUSED = frozenset({"FailedCreate"})
_SHOW = "{kubectl} describe {kind} {workload}"

RULES: tuple[Rule, ...] = (
    Rule(
        "workload-missing",
        "{object} is not there.",
        "Apply the manifests again.",
        REPAIR,
        reasons=frozenset({MISSING}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "pod-postponed",
        "The API server had no time to make a pod of {workload}; its controller tries again.",
        reasons=_REFUSED,
        message=r"try again|timed out|timeout|deadline exceeded|connection refused|too many requests",
        passing="waits for the API server to make its pod",
    ),
    Rule(
        "pod-over-quota",
        "{workload} has no pod: the quota {quota} of its namespace forbids it.",
        "Have the quota raised, or request less in the manifests.",
        "{kubectl} describe resourcequota {quota}",
        reasons=_REFUSED,
        message=r"(exceeded|failed) quota: (?P<quota>[\w.-]+)",
        code="pod-refused",
    ),
    Rule(
        "pod-insecure",
        "{workload} has no pod: it does not meet the namespace's Pod Security level {level}.",
        "Have the manifests meet that level, or the namespace labelled with another one.",
        _SHOW,
        reasons=_REFUSED,
        message=r"violates PodSecurity \"?(?P<level>[\w-]+)",
        code="pod-refused",
    ),
    Rule(
        "pod-account-missing",
        "{workload} has no pod: its service account {account} is not there.",
        "Apply the manifests again.",
        REPAIR,
        reasons=_REFUSED,
        message=r"serviceaccount \"(?P<account>[^\"]+)\" not found",
        code="pod-refused",
        automatic=True,
    ),
    Rule(
        "pod-refused",
        "{workload} has no pod: the cluster refuses to make it.",
        "See what the cluster says, and correct the manifests.",
        _SHOW,
        reasons=_REFUSED,
    ),
)
