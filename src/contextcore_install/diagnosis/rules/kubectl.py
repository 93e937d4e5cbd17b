"""Why a kubectl command failed. From messages of kubectl and of the API server."""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules._admission import in_output, refusals

RULES: tuple[Rule, ...] = (
    # Before the API's own troubles: a webhook that cannot be asked is told in the same words.
    *in_output(refusals("The cluster does not take what is applied: ", "manifest-invalid")),
    Rule(
        "context-missing",
        "kubectl knows no context {context}.",
        "{context_remedy}",
        "{context_command}",
        log=r"context \"[^\"]*\" does not exist|context was not found|no context exists with the name",
    ),
    Rule(
        "kubeconfig-unreadable",
        "kubectl cannot read its configuration, {file}.",
        "Correct the file, or move it aside.",
        "kubectl config view",
        log=r"error loading config file \"(?P<file>[^\"]+)\": (yaml: |couldn't get version/kind|json: |no kind \""
        r"|(open|read) .*: (is a directory|permission denied|input/output error))",
    ),
    Rule(
        "context-damaged",
        "kubectl cannot use the address or the credentials that its configuration has for {context}.",
        "{context_remedy}",
        "{context_command}",
        log=r"illegal base64 data|unable to load root certificates|private key does not match public key"
        r"|failed to find any pem data|unable to read (client-|certificate-)|must be specified for \S+ to use the"
        r"|\berror: EOF$|invalid 'proxy-url'|unsupported protocol scheme"
        r"|auth plugin has been removed|cluster \"[^\"]*\" does not exist|has no server defined",
    ),
    Rule(
        "api-proxy",
        "kubectl asks a proxy for the API of {context}, and the proxy does not lead to it.",
        "Leave the API's address out of what goes through the proxy.",
        "NO_PROXY=127.0.0.1,localhost kubectl --context {context} get --raw /readyz",
        log=r"proxyconnect|proxy authentication required|http proxy|socks connect",
    ),
    Rule(
        "api-other-server",
        "What answers at the address that kubectl has for {context} is no Kubernetes API.",
        "{context_remedy}",
        "{context_command}",
        log=r"gave http response to https client|sent an http request to an https server"
        r"|rejected our request for an unknown reason|api group list: the server could not find the requested resource",
    ),
    Rule(
        "clock-behind",
        "The API's certificate is valid from {since} on, and this machine's clock says {now}.",
        "Set this machine's clock.",
        "date",
        log=r"certificate has expired or is not yet valid: current time (?P<now>\S+) is before (?P<since>\S+)",
        code="api-clock",
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
        transient=True,
    ),
    Rule(
        "api-credentials",
        "The Kubernetes API of {context} does not accept this user's credentials.",
        "Log in to the cluster again.",
        "kubectl --context {context} auth whoami",
        log=r"unauthorized|you must be logged in|certificate (has expired|signed by unknown authority)"
        r"|x509:|exec plugin|executable .* (not found|failed)|getting credentials|credential",
    ),
    Rule(
        "namespace-terminating",
        "The namespace is being deleted, and is not gone yet.",
        "Wait until it is gone; if it stays, see which finalizers hold it.",
        "kubectl --context {context} get namespace {namespace} -o jsonpath='{{.status.conditions}}'",
        log=r"because it is being terminated|namespace .* is being terminated",
        transient=True,
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
        transient=True,
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
        r"|error converting yaml",
    ),
    Rule(
        "kustomization-invalid",
        "The kustomization cannot be built.",
        "Correct it.",
        "kubectl kustomize {manifests}",
        log=r"accumulating resources|unable to find one of 'kustomization|evalsymlink failure|kustomization",
    ),
    Rule("kubectl-failed", "`{argv}` failed.", "See what it says.", "{again}", transient=True),
)
