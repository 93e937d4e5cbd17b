"""What holds a namespace that is being deleted and does not go: the conditions that Kubernetes gives it while it goes.

From Kubernetes' pkg/controller/namespace/deletion/status_condition_utils.go.
"""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Rule

_SHOW = "kubectl --context {context} get namespace {namespace} -o yaml"
_HELD = "The namespace {namespace} is being deleted and does not go: "

RULES: tuple[Rule, ...] = (
    Rule(
        "namespace-finalizers",
        _HELD + "objects in it are held by {finalizer}.",
        "Have what owns these finalizers run again, or take them from the objects, if what they wait for is gone.",
        _SHOW,
        log=r"(?P<finalizer>[\w./-]+) in \d+ resource instances",
        code="namespace-terminating",
    ),
    Rule(
        "namespace-discovery",
        _HELD + "the cluster cannot tell what is in it, as the API {api} does not answer.",
        "Bring that API's service back, or delete its APIService.",
        "kubectl --context {context} get apiservices",
        log=r"discovery failed for some groups.*?apis: (?:unable to retrieve the complete list of server APIs: )?"
        r"(?P<api>[\w./-]+):",
        code="namespace-terminating",
    ),
    Rule(
        "namespace-content",
        _HELD + "there are still {what} in it.",
        "See what keeps them.",
        "kubectl --context {context} --namespace {namespace} get all,configmaps,secrets,persistentvolumeclaims",
        log=r"\b(?P<what>[a-z][\w-]*)[\w.-]* has \d+ resource instances",
        code="namespace-terminating",
    ),
    Rule(
        "namespace-terminating",
        "The namespace {namespace} is being deleted and does not go.",
        "See which finalizers hold it.",
        _SHOW,
    ),
)
