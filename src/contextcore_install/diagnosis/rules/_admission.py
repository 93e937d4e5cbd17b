"""What the API server refuses to take, for webhooks, policies, quotas and limits.

From messages of k8s.io/apiserver (pkg/admission) and Kubernetes' plugin/pkg/admission. A controller tells them in its
events, kubectl in its output: the rules are the same, but for what they look at.
"""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.diagnosis.rule import Rule

WEBHOOK = r"failed calling (?:admission )?webhook \"(?P<webhook>[^\"]+)\""
DENIED = r"admission webhook \"(?P<webhook>[^\"]+)\" denied the request"
POLICY = r"ValidatingAdmissionPolicy '(?P<policy>[^']+)' .*denied request"
QUOTA = r"(?:exceeded|failed) quota: (?P<quota>[\w.-]+)"
LIMITS = (
    r"(?P<limits>(?:maximum|minimum) \S+ usage per \w+ is [^\s.,\]]+"
    r"|\S+ max limit to request ratio per \w+ is [\d.]*\d)"
)


def refusals(begin: str, code: str) -> tuple[Rule, ...]:
    """Return the rules about what is refused, without what they look at: sentences that begin so, with this code.

    Facts: `kubectl` with its namespace, and what `webhook_facts` tells.
    """
    return (
        Rule(
            "webhook-unreachable",
            begin + "the admission webhook {webhook}{of_configuration} has to agree, and cannot be asked.",
            "Bring back what answers for it; or remove its configuration, if nobody needs it any more.",
            "{webhook_removal}",
            message=WEBHOOK,
            transient=True,
            lasts_s=12.0,
        ),
        Rule(
            "webhook-denied",
            begin + "the admission webhook {webhook}{of_configuration} forbids it.",
            "Correct the manifests by what it says, or have it let them pass.",
            "{webhook_look}",
            message=DENIED,
            code=code,
            lasts_s=4.0,
        ),
        Rule(
            "policy-denied",
            begin + "the policy {policy} forbids it.",
            "Correct the manifests by what it says, or have it let them pass.",
            "{kubectl} get validatingadmissionpolicy {policy} -o yaml",
            message=POLICY,
            code=code,
            lasts_s=4.0,
        ),
        Rule(
            "over-quota",
            begin + "the quota {quota} of its namespace forbids it.",
            "Have the quota raised, or request less in the manifests.",
            "{kubectl} describe resourcequota {quota}",
            message=QUOTA,
            code=code,
            lasts_s=4.0,
        ),
        Rule(
            "outside-limits",
            begin + "a LimitRange of its namespace forbids it: {limits}.",
            "Have the limit changed, or request what it allows in the manifests.",
            "{kubectl} describe limitrange",
            message=LIMITS,
            code=code,
            lasts_s=4.0,
        ),
    )


def in_output(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return rules about messages as rules about what a command printed."""
    return tuple(replace(rule, log=rule.message, message="") for rule in rules)
