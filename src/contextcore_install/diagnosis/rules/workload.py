"""Why a workload has no pod. `Missing` and `ScaledDown` are our words: Kubernetes has none for them.

From messages of Kubernetes' controllers, and of the API server's admission, authorizer and PodSecurity.
"""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules._admission import refusals

MISSING, SCALED_DOWN = "Missing", "ScaledDown"
UNSAID = frozenset({"pod-postponed", "pod-refused"})
"""Rules that name no cause."""
BY_CONTROLLER = frozenset({"controller-forbidden"})
"""Rules about what only the controller is refused: nobody else can find out by trying."""

_REFUSED = frozenset({"FailedCreate"})
_SHOW = "{kubectl} describe {kind} {workload}"
_NO_POD = "{workload} has no pod: "
_SCALE = "{kubectl} scale {kind} {workload} --replicas={wanted}"
_INSECURE = Rule(
    "pod-insecure",
    _NO_POD + "it does not meet the namespace's Pod Security level {level}.",
    "Have the manifests meet that level, or the namespace take another one.",
    "{kubectl} label --overwrite namespace {namespace} pod-security.kubernetes.io/enforce=privileged",
    reasons=_REFUSED,
    message=r"violates PodSecurity \"?(?P<level>[\w-]+)",
    code="pod-refused",
    lasts_s=4.0,
)

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
        "scaled-by-others",
        "{workload} is scaled to {replicas} by {manager}, which goes on deciding that; it is left to it.",
        "Have {manager} give it more, or take the decision from it.",
        _SCALE,
        reasons=frozenset({SCALED_DOWN}),
        where={"decides": "."},
        code="scaled-down",
    ),
    Rule(
        "scaled-down",
        "{workload} is scaled to {replicas}{by}.",
        "Scale it to {wanted} again.",
        _SCALE,
        reasons=frozenset({SCALED_DOWN}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    *(replace(rule, reasons=_REFUSED) for rule in refusals(_NO_POD, "pod-refused")),
    replace(
        _INSECURE,
        id="pod-unrestricted",
        command="{kubectl} label --overwrite namespace {namespace} pod-security.kubernetes.io/enforce=baseline",
        message=r"violates PodSecurity \"?(?P<level>restricted)",
    ),
    _INSECURE,
    Rule(
        "pod-not-admitted",
        _NO_POD + "no PodSecurityPolicy or security context constraint lets it be made.",
        "Have one allow it to the service accounts of the namespace, or correct the manifests.",
        _SHOW,
        reasons=_REFUSED,
        message=r"unable to (admit pod|validate against any (pod security policy|security context constraint))",
        code="pod-refused",
        lasts_s=4.0,
    ),
    Rule(
        "pod-account-missing",
        _NO_POD + "its service account {account} is not there.",
        "Make it, or apply the manifests again if it is theirs.",
        "{kubectl} create serviceaccount {account}",
        reasons=_REFUSED,
        message=r"serviceaccount \"(?P<account>[^\"]+)\" not found",
        code="pod-refused",
        automatic=True,
        lasts_s=4.0,
    ),
    Rule(
        "pod-class-missing",
        _NO_POD + "the {class} {name} that its manifest names is not there.",
        "Make it, or name one that is there in the manifests.",
        "{kubectl} get priorityclasses,runtimeclasses",
        reasons=_REFUSED,
        message=r"(?:no )?(?P<class>(?:Priority|Runtime)Class) (?:with name )?\"?(?P<name>[\w.-]+)\"? "
        r"(?:was|not) found",
        code="pod-refused",
        lasts_s=4.0,
    ),
    Rule(
        "controller-forbidden",
        _NO_POD + "Kubernetes' own {controller} may not {verb} {resource}: its ClusterRoleBinding is missing.",
        "Bring its binding back.",
        "{kubectl} create clusterrolebinding system:controller:{controller}"
        " --clusterrole=system:controller:{controller} --serviceaccount=kube-system:{controller}",
        reasons=_REFUSED,
        message=r"user \"system:serviceaccount:kube-system:(?P<controller>[\w-]+)\" "
        r"cannot (?P<verb>\w+) resource \"(?P<resource>\w+)\"",
        code="pod-refused",
        lasts_s=4.0,
    ),
    Rule(
        "pod-postponed",
        "The API server had no time to make a pod of {workload}; its controller tries again.",
        reasons=_REFUSED,
        message=r"try again|timed out|timeout|deadline exceeded|connection refused|too many requests"
        r"|status unknown for quota",
        passing="waits for the API server to make its pod",
    ),
    Rule(
        "pod-refused",
        _NO_POD + "the cluster refuses to make it.",
        "See what the cluster says, and correct the manifests.",
        _SHOW,
        reasons=_REFUSED,
        lasts_s=4.0,
    ),
)
