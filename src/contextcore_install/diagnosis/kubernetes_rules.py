"""What kubectl and Kubernetes say, what it means, and what heals it.

The patterns are pieces of messages of kubectl, the API server, the scheduler, the kubelet and containerd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.diagnosis.evidence import Evidence, clean
from contextcore_install.diagnosis.rules import PROCESS_RULES, Rule, finding_of, match, shown

REPAIR = "./create-cluster.sh --repair"
RESUME = "./create-cluster.sh --resume"

KUBECTL_RULES: tuple[Rule, ...] = (
    Rule(
        "context-missing",
        "kubectl knows no context {context}.",
        "{context_remedy}",
        "{context_command}",
        log=r"context \"[^\"]*\" does not exist|context was not found|no context exists with the name",
    ),
    Rule(
        "api-unreachable",
        "The Kubernetes API of {context} cannot be reached.",
        "See whether the cluster runs, and whether this machine reaches it.",
        "kubectl --context {context} get --raw /readyz",
        log=r"connection to the server \S+ was refused|connection refused|no such host|i/o timeout|no route to host"
        r"|network is unreachable|tls handshake timeout|context deadline exceeded|client\.timeout exceeded"
        r"|unexpected EOF|: EOF$|connection reset|http2: client connection lost"
        r"|unable to connect to the server: (dial|net)"
        r"|the server is currently unable|etcdserver: |apiserver not ready|was not able to be processed",
    ),
    Rule(
        "api-credentials",
        "The Kubernetes API of {context} does not accept this user's credentials.",
        "Log in to the cluster again.",
        "kubectl --context {context} auth whoami",
        log=r"unauthorized|you must be logged in|certificate (has expired|signed by unknown authority)"
        r"|x509:|exec plugin|executable .* not found",
    ),
    Rule(
        "namespace-terminating",
        "The namespace is being deleted, and is not gone yet.",
        "Wait until it is gone; if it stays, see which finalizers hold it.",
        "kubectl --context {context} get namespace {namespace} -o jsonpath='{{.status.conditions}}'",
        log=r"because it is being terminated|namespace .* is being terminated",
    ),
    Rule(
        "api-forbidden",
        "This user may not do what the installation needs.",
        "Ask the cluster's administrator for the rights.",
        "kubectl --context {context} auth can-i --list --namespace {namespace}",
        log=r"\bforbidden: user|cannot \w+ resource",
    ),
    Rule(
        "node-port-taken",
        "A port of the nodes is taken by another Service.",
        "See which Service has it.",
        "kubectl --context {context} get services --all-namespaces",
        log=r"provided port is already allocated",
    ),
    Rule(
        "field-immutable",
        "Something that cannot be changed in place has changed.",
        "Make the object anew; its volumes stay.",
        "kubectl --context {context} --namespace {namespace} delete statefulset NAME --cascade=orphan",
        log=r"updates to statefulset spec for fields other than|field is immutable",
        risk=Risk.RESTARTS,
    ),
    Rule(
        "manifest-unknown-kind",
        "The cluster does not know a kind of object that the manifests use.",
        "Install what defines it first.",
        log=r"no matches for kind|doesn't have a resource type",
    ),
    Rule(
        "manifest-invalid",
        "The manifests are not valid for this cluster.",
        "Correct them.",
        log=r"error validating|is invalid:|unknown field|strict decoding error|error parsing"
        r"|error converting yaml|admission webhook .* denied",
    ),
    Rule(
        "kustomization-invalid",
        "The kustomization cannot be built.",
        "Correct it.",
        "kubectl kustomize {manifests}",
        log=r"accumulating resources|unable to find one of 'kustomization|evalsymlink failure|kustomization",
    ),
)
"""For a kubectl command that failed."""


def kubectl_failure(argv: str, lines: Sequence[str], facts: Mapping[str, str]) -> InstallError:
    """Return the error that says why kubectl failed."""
    evidence = Evidence("kubectl", lines, facts=facts)
    rule = match(KUBECTL_RULES, evidence)
    if rule is None:
        return InstallError(
            "kubectl-failed", f"`{argv}` failed.", shown(None, evidence), argv, retryable=True
        )
    finding = finding_of(rule, evidence)
    hint = (finding.remedy.command or finding.remedy.summary) if finding.remedy else ""
    passing = rule.id in {"api-unreachable", "namespace-terminating", "node-port-taken"}
    return InstallError(finding.code, finding.message, finding.evidence, hint, retryable=passing)


IMAGE_GONE = re.compile(
    r"(?i)not found|manifest unknown|pull access denied|does not exist|repository .* denied|InvalidImageName"
    r"|invalid reference|ErrImageNeverPull|unauthorized|couldn't parse image"
)
"""The registry has no such image, or gives it to others only: waiting does not heal that."""
IMAGE_LATER = re.compile(r"(?i)toomanyrequests|rate limit|429")
"""The registry asks for patience."""
NO_ROOM = re.compile(r"(?i)(\d+) Insufficient ([\w./-]+)")
UNBOUND_CLAIM = re.compile(
    r"(?i)unbound immediate PersistentVolumeClaims|persistentvolumeclaim \S+ not found"
)
NOT_YET = re.compile(
    r"(?i)node\.kubernetes\.io/(not-ready|unreachable)|were unschedulable|network-unavailable"
)
MISSING_OBJECT = re.compile(r"(?i)(configmap|secret)s? \"([^\"]+)\" not found")
MISSING_KEY = re.compile(
    r"(?i)couldn't find key \S+ in (ConfigMap|Secret) \S+|references non-existent (config|secret) key"
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a pod or a claim says about why it does not get on.

    `reason` is Kubernetes' own word (CrashLoopBackOff, Unschedulable, ...), `message` the sentence that goes with it;
    `lines` is the end of the container's log, `exit_code` how it ended last.
    """

    workload: str
    pod: str
    reason: str
    message: str = ""
    image: str = ""
    lines: Sequence[str] = ()
    exit_code: int | None = None
    kubectl: str = "kubectl"
    image_remedy: str = ""


def diagnose_image(trouble: Trouble) -> Finding:
    """Say why an image is not there."""
    if IMAGE_LATER.search(trouble.message):
        remedy = Remedy("Wait, or log in to the registry.", "docker login")
        return Finding(
            "image-rate-limit",
            f"The registry of {trouble.image} asks for patience (rate limit).",
            clean(trouble.message),
            remedy,
        )
    code = "image-not-found" if IMAGE_GONE.search(trouble.message) else "image-unavailable"
    what = "does not exist, or is not for everyone" if code == "image-not-found" else "cannot be pulled"
    remedy = Remedy(
        trouble.image_remedy or "Correct the image's name, or make it available to the cluster.",
        RESUME if trouble.image_remedy else f"{trouble.kubectl} describe pod {trouble.pod}",
        Risk.RESTARTS,
        automatic=bool(trouble.image_remedy),
    )
    return Finding(
        code, f"{trouble.workload}: the image {trouble.image} {what}.", clean(trouble.message), remedy
    )


def diagnose_config(trouble: Trouble) -> Finding:
    """Say which ConfigMap or Secret is missing."""
    found = MISSING_OBJECT.search(trouble.message)
    what = f"the {found[1].lower()} {found[2]}" if found else "a ConfigMap or Secret, or a key in one,"
    remedy = Remedy("Apply the manifests again.", REPAIR, Risk.RESTARTS, automatic=True)
    return Finding(
        "config-missing",
        f"{trouble.workload} cannot start: {what} is missing.",
        clean(trouble.message),
        remedy,
    )


def diagnose_crash(trouble: Trouble) -> Finding:
    """Say why a container ends again and again: by its last words."""
    last = next((clean(line) for line in reversed(trouble.lines) if line.strip()), "it printed nothing")
    evidence = Evidence(trouble.workload, trouble.lines, trouble.exit_code, facts={"title": trouble.workload})
    rule = match(PROCESS_RULES, evidence) if trouble.lines else None
    log = f"{trouble.kubectl} logs {trouble.pod} --previous"
    if trouble.reason == "OOMKilled":
        remedy = Remedy("Give it a higher memory limit in the manifests.", log)
        message = f"{trouble.workload} was killed: it needs more memory than its limit."
        return Finding("out-of-memory", message, shown(None, evidence), remedy)
    how = "" if trouble.exit_code is None else f" (exit code {trouble.exit_code})"
    message = f"{trouble.workload} starts and ends again{how}: {last}"
    remedy = Remedy(
        f"Have its configuration put in place again; if it goes on, read its log: {log}",
        REPAIR,
        Risk.RESTARTS,
        automatic=True,
    )
    code = (
        rule.id
        if rule is not None and rule.id in {"bad-config", "disk-full", "permission-denied"}
        else "crash-loop"
    )
    return Finding(code, message, shown(rule, evidence), remedy)


def diagnose_unschedulable(trouble: Trouble) -> Finding | None:
    """Say which resource no node has left; None for what passes."""
    short = sorted({found[2] for found in NO_ROOM.finditer(trouble.message)})
    if short:
        remedy = Remedy(
            f"Free some {' and '.join(short)}, give the cluster more, or request less in the manifests.",
            f"{trouble.kubectl} describe pod {trouble.pod}",
        )
        message = f"{trouble.workload} fits on no node: there is not enough {' and '.join(short)}."
        return Finding("unschedulable", message, clean(trouble.message), remedy)
    if UNBOUND_CLAIM.search(trouble.message) or NOT_YET.search(trouble.message):
        return None
    remedy = Remedy("See what the scheduler says.", f"{trouble.kubectl} describe pod {trouble.pod}")
    message = f"{trouble.workload} fits on no node."
    return Finding("unschedulable", message, clean(trouble.message), remedy)


def diagnose_claim(trouble: Trouble) -> Finding | None:
    """Say why a volume is not made; None where it is only made once a pod is there (WaitForFirstConsumer)."""
    if trouble.reason in {
        "WaitForFirstConsumer",
        "ExternalProvisioning",
        "WaitForPodScheduled",
        "Provisioning",
    }:
        return None
    if not trouble.reason:
        return None
    remedy = Remedy("See the cluster's storage classes; one must be the default.", "kubectl get storageclass")
    message = f"{trouble.workload} gets no volume: {clean(trouble.message)}"
    return Finding("volume-pending", message, f"{trouble.pod}: {trouble.reason}", remedy)
