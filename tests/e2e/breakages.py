"""What people and machines break in a cluster: each row how, what must be found, and what its repair may touch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from contextcore_install.core.dataclass import dataclass
from e2e.lab import ClusterInstallation, ask, engine
from kit.stores import wait_until

Break = Callable[[ClusterInstallation], object]
#: Seconds for Kubernetes to notice what was broken.
SEEN_WITHIN_S = 150.0
COMPONENTS = ("mimir", "loki", "tempo", "alloy", "grafana")


@dataclass(frozen=True)
class Row:
    """One breakage.

    `finds` is a pattern that one of the findings, as `CODE MESSAGE`, must fit; `risk` the greatest risk among the
    remedies that a repair carries out. `touches` is a pattern of the objects that may be others afterwards. With
    `heals_itself` nothing need be found. `workers` is how many the cluster must have. With `by_hand`, what was found
    is somebody's to decide: a repair says so early, and heals the rest once that was done.
    """

    name: str
    break_it: Break
    finds: str
    risk: str = "restarts"
    touches: str = "(?!)"
    keeps_data: bool = True
    heals_itself: bool = False
    workers: int = 0
    by_hand: Break | None = None


def container(name: str, **change: object) -> Break:
    """Change fields of a component's container; its StatefulSet rolls."""
    patch = {"spec": {"template": {"spec": {"containers": [{"name": name, **change}]}}}}
    return lambda place: place.kubectl("patch", "statefulset", name, "-p", json.dumps(patch))


def both(*breaks: Break) -> Break:
    return lambda place: [broken(place) for broken in breaks]


def run(*arguments: str) -> Break:
    return lambda place: place.kubectl(*arguments)


def pod_says(name: str, pattern: str) -> Break:
    """Wait until a component's pod tells of its trouble."""

    def told(place: ClusterInstallation) -> bool:
        pod = place.objects("pods").get(f"Pod/{name}-0", {})
        return re.search(pattern, json.dumps(pod.get("status", {}))) is not None

    return lambda place: wait_until(lambda: told(place), f"{name} never told of {pattern}", limit_s=SEEN_WITHIN_S)


def configuration(name: str, *, text: str = "standin: fail\n") -> Break:
    """Change a component's ConfigMap in place, as `kubectl edit` does."""

    def spoil(place: ClusterInstallation) -> None:
        found = next(
            item for key, item in place.objects("configmaps").items() if re.fullmatch(rf"ConfigMap/{name}-\w+", key)
        )
        data = {key: text + value for key, value in found["data"].items()}
        place.kubectl("patch", "configmap", found["metadata"]["name"], "-p", json.dumps({"data": data}))

    return spoil


def delete_all(kind: str, pattern: str) -> Break:
    def delete(place: ClusterInstallation) -> None:
        names = [name for name in place.uids(kind) if re.search(pattern, name)]
        place.kubectl("delete", *names)

    return delete


def node(place: ClusterInstallation, suffix: str) -> str:
    return f"{place.cluster}-{suffix}"


def nodes(verb: str, *suffixes: str) -> Break:
    """Stop, pause or kill containers of nodes."""
    return lambda place: ask(engine(), verb, *(node(place, suffix) for suffix in suffixes))


def on_node(verb: str, suffix: str) -> Break:
    return lambda place: ask("kubectl", "--context", place.context, verb, node(place, suffix), environ=place.environ())


def node_of(place: ClusterInstallation, name: str) -> str:
    return str(place.objects("pods")[f"Pod/{name}-0"]["spec"]["nodeName"])


def cordon_and_delete(place: ClusterInstallation) -> None:
    where = node_of(place, "loki")
    ask("kubectl", "--context", place.context, "cordon", where, environ=place.environ())
    place.kubectl("delete", "pod", "loki-0")
    pod_says("loki", "Unschedulable")(place)


def stop_kubelet(place: ClusterInstallation) -> None:
    where = node_of(place, "loki")
    ask(engine(), "exec", where, "systemctl", "stop", "kubelet")
    ask(
        *("kubectl", "--context", place.context, "wait", f"node/{where}"),
        *("--for=condition=Ready=Unknown", "--timeout=120s"),
        environ=place.environ(),
    )


def lose_context(place: ClusterInstallation) -> None:
    place.kubeconfig.unlink()


def spoil_context(place: ClusterInstallation) -> None:
    command = ["kubectl", "config", "set", f"clusters.{place.context}.server", "https://127.0.0.1:9"]
    ask(*command, environ=place.environ())


def spoil_credentials(place: ClusterInstallation) -> None:
    """Spoil what kubectl trusts, beside a context of the user's own that must survive."""
    for command in (
        ("set", f"clusters.{place.context}.certificate-authority-data", "aGVsbG8="),
        ("set-cluster", "mine", "--server=https://mine.invalid"),
        ("set-context", "mine", "--cluster=mine"),
    ):
        ask("kubectl", "config", *command, environ=place.environ())


def spoil_file(place: ClusterInstallation) -> None:
    """Leave kubectl a file that is cut in the middle of a value."""
    text = place.kubeconfig.read_text()
    place.kubeconfig.write_text(text[: text.index("client-certificate-data") + 200])


def take_off_network(place: ClusterInstallation) -> None:
    ask(engine(), "network", "disconnect", "kind", node(place, "worker"))


def spoil_arguments(place: ClusterInstallation) -> None:
    change = [
        {"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["-config.file=/nowhere/loki.yaml"]}
    ]
    place.kubectl("patch", "statefulset", "loki", "--type=json", "-p", json.dumps(change))
    pod_says("loki", "CrashLoopBackOff")(place)


def paste(code: str) -> Break:
    """Type the command that a finding of this code shows."""

    def typed(place: ClusterInstallation) -> None:
        document = json.loads(place.must("plan", "--repair", "--output", "json"))
        findings = [item for check in document["checks"] for item in check["findings"]]
        command = next(item["remedy"]["command"] for item in findings if item["code"] == code)
        ask("sh", "-c", command, environ=place.environ())

    return typed


def cluster_wide(*arguments: str) -> Break:
    return lambda place: ask("kubectl", "--context", place.context, *arguments, environ=place.environ())


def event_says(name: str, pattern: str) -> Break:
    """Wait until an event about an object of a name tells of its trouble."""
    chosen = ("get", "events", "--field-selector", f"involvedObject.name={name}")

    def told(place: ClusterInstallation) -> bool:
        return re.search(pattern, place.kubectl(*chosen)) is not None

    return lambda place: wait_until(lambda: told(place), f"no event of {name} has {pattern}", limit_s=SEEN_WITHIN_S)


def webhook(kind: str, client: Mapping[str, object]) -> Break:
    """Have pods pass a webhook that nobody answers."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook = {
        "name": "pods.e2e.example.com",
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 3,
        "rules": [rule],
        "clientConfig": client,
    }

    def make(place: ClusterInstallation) -> None:
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": "e2e-nobody"},
            "webhooks": [hook],
        }
        apply(place, configuration)

    return make


def apply(place: ClusterInstallation, item: Mapping[str, object], *flags: str) -> None:
    """Apply an object as kubectl does."""
    file = place.folder / "item.json"
    file.write_text(json.dumps(item))
    place.kubectl("apply", *flags, "-f", str(file))


def limit_range(place: ClusterInstallation) -> None:
    limits = [{"type": "Container", "max": {"memory": "64Mi"}}]
    metadata = {"name": "e2e-small"}
    apply(place, {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}})


def scale_as_another(place: ClusterInstallation) -> None:
    """Have another field manager apply a number of pods."""
    item = place.objects("statefulsets")["StatefulSet/tempo"]
    metadata = {"name": "tempo", "namespace": item["metadata"]["namespace"]}
    wanted = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {**item["spec"], "replicas": 0},
    }
    apply(place, wanted, "--server-side", "--force-conflicts", "--field-manager=flux")


def taint(effect: str) -> Break:
    def put(place: ClusterInstallation) -> None:
        cluster_wide("taint", "node", node_of(place, "loki"), f"dedicated=e2e:{effect}")(place)
        place.kubectl("delete", "pod", "loki-0", "--ignore-not-found")
        pod_says("loki", "Unschedulable")(place)

    return put


def claim_before_class(place: ClusterInstallation) -> None:
    """Have a claim made while the cluster has no storage class, and make the class again."""
    context = ("kubectl", "--context", place.context)
    classes = json.loads(ask(*context, "get", "storageclasses", "-o", "json", environ=place.environ()))
    for item in classes["items"]:
        item["metadata"] = {name: item["metadata"].get(name) for name in ("name", "annotations")}
    ask(*context, "delete", "storageclasses", "--all", environ=place.environ())
    place.kubectl("delete", "pvc", "data-tempo-0", "--wait=false")
    place.kubectl("delete", "pod", "tempo-0", "--wait=true")
    event_says("data-tempo-0", "no storage class is set")(place)
    apply(place, classes)


def of(name: str) -> str:
    """Return the pattern of a component's pod and StatefulSet."""
    return rf"(Pod|StatefulSet)/{name}"


def pod(name: str) -> str:
    return rf"Pod/{name}-0"


_BAD_IMAGE = "grafana/e2e-there-is-no-such-image:1"
_MEMORY = {"requests": {"memory": "6Mi"}, "limits": {"memory": "6Mi"}}

TABLE: tuple[Row, ...] = (
    *(
        Row(
            f"{name} deleted",
            run("delete", "statefulset", name),
            f"drift StatefulSet/{name}: missing",
            touches=of(name),
        )
        for name in COMPONENTS
    ),
    *(
        Row(
            f"{name} scaled to 0",
            run("scale", "statefulset", name, "--replicas=0"),
            f"drift StatefulSet/{name}: changed: spec.replicas",
            touches=pod(name),
        )
        for name in COMPONENTS
    ),
    *(
        Row(
            f"{name} with a bad image",
            both(container(name, image=_BAD_IMAGE), pod_says(name, "ErrImagePull|ImagePullBackOff")),
            rf"drift StatefulSet/{name}: changed: .*\[{name}\]\.image",
            touches=pod(name),
        )
        for name in COMPONENTS
    ),
    *(
        Row(
            f"{name} with a bad configuration",
            both(
                configuration(name), run("delete", "pod", f"{name}-0"), pod_says(name, "CrashLoopBackOff|standin|Error")
            ),
            rf"drift ConfigMap/{name}-\w+: changed",
            touches=pod(name),
        )
        for name in ("mimir", "loki", "tempo", "alloy")
    ),
    Row(
        "a configuration changed that nobody has read",
        configuration("loki", text="# by hand\n"),
        r"drift ConfigMap/loki-\w+: changed",
        risk="harmless",
    ),
    Row(
        "a configuration changed and read",
        both(
            configuration("tempo", text="# by hand\n"),
            run("delete", "pod", "tempo-0"),
            run("wait", "--for=condition=Ready", "pod/tempo-0", "--timeout=120s"),
        ),
        r"drift ConfigMap/tempo-\w+: changed",
        risk="harmless",
        touches=pod("tempo"),
    ),
    Row("arguments spoilt", spoil_arguments, "drift StatefulSet/loki: changed: .*args", touches=pod("loki")),
    Row(
        "a tiny memory limit",
        both(container("mimir", resources=_MEMORY), pod_says("mimir", "OOMKilled|CrashLoopBackOff|Error")),
        r"drift StatefulSet/mimir: changed: .*memory",
        touches=pod("mimir"),
    ),
    Row(
        "a readiness probe that fails",
        container("loki", readinessProbe={"httpGet": {"path": "/nowhere"}}),
        r"drift StatefulSet/loki: changed: .*readinessProbe\.httpGet\.path",
        touches=pod("loki"),
    ),
    Row(
        "a startup probe that fails",
        container("tempo", startupProbe={"httpGet": {"path": "/nowhere"}}),
        r"drift StatefulSet/tempo: changed: .*startupProbe\.httpGet\.path",
        touches=pod("tempo"),
    ),
    Row(
        "scaled up by hand",
        run("scale", "statefulset", "alloy", "--replicas=2"),
        "drift StatefulSet/alloy: changed: spec.replicas",
        touches="Pod/alloy-1|PersistentVolumeClaim/.*alloy-1",
    ),
    Row(
        "a label taken away",
        run("label", "statefulset", "loki", "app.kubernetes.io/component-"),
        "drift StatefulSet/loki: changed: metadata.labels",
    ),
    Row("a Service deleted", run("delete", "service", "loki"), "drift Service/loki: missing", touches="Service/loki$"),
    Row(
        "a NodePort changed",
        run("patch", "service", "tempo", "-p", '{"spec":{"ports":[{"port":3200,"nodePort":30777}]}}'),
        "drift Service/tempo: changed: .*nodePort",
    ),
    Row(
        "a Service that selects nobody",
        run("patch", "service", "mimir", "-p", '{"spec":{"selector":{"app.kubernetes.io/name":"nobody"}}}'),
        "drift Service/mimir: changed: spec.selector",
    ),
    Row(
        "a key added to a selector",
        run("patch", "service", "mimir", "-p", '{"spec":{"selector":{"app":"nope"}}}'),
        r"drift Service/mimir: spec\.selector\.app was added .*removed again",
    ),
    Row(
        "a command added",
        both(container("loki", command=["/nowhere"]), pod_says("loki", "RunContainerError|CrashLoopBackOff")),
        r"drift StatefulSet/loki: .*\[loki\]\.command was added .*removed again",
        touches=pod("loki"),
    ),
    Row("Endpoints deleted", run("delete", "endpoints", "loki"), "", heals_itself=True),
    Row(
        "a ConfigMap deleted",
        delete_all("configmaps", "^ConfigMap/loki-"),
        r"drift ConfigMap/loki-\w+: missing",
        risk="harmless",
        touches="ConfigMap/loki-",
    ),
    Row(
        "a ConfigMap and its pod deleted",
        both(delete_all("configmaps", "^ConfigMap/loki-"), run("delete", "pod", "loki-0")),
        r"drift ConfigMap/loki-\w+: missing",
        touches=r"ConfigMap/loki-|Pod/loki-0",
    ),
    Row(
        "the Secret deleted",
        run("delete", "secret", "grafana-admin"),
        "drift Secret/grafana-admin: missing",
        risk="harmless",
        touches="Secret/grafana-admin",
    ),
    Row(
        "a claim and its pod deleted",
        both(run("delete", "pvc", "data-tempo-0", "--wait=false"), run("delete", "pod", "tempo-0", "--wait=true")),
        "",
        heals_itself=True,
        touches=r"Pod/tempo-0|PersistentVolumeClaim/data-tempo-0",
    ),
    Row("a pod deleted", run("delete", "pod", "mimir-0"), "", heals_itself=True, touches=pod("mimir")),
    Row(
        "a pod that ends again and again",
        both(run("exec", "alloy-0", "--", "/bin/touch", "/tmp/crash")),
        "",
        heals_itself=True,
        touches=pod("alloy"),
    ),
    Row(
        "two at once",
        both(run("delete", "service", "loki"), run("scale", "statefulset", "tempo", "--replicas=0")),
        "drift Service/loki: missing",
        touches=r"Service/loki$|Pod/tempo-0",
    ),
    Row(
        "everything of ours deleted but the claims",
        run("delete", "statefulsets,services,configmaps", "-l", "app.kubernetes.io/part-of=contextcore"),
        "drift StatefulSet/mimir: missing",
        touches="Pod|StatefulSet|Service|ConfigMap",
    ),
    Row("the control plane stopped", nodes("stop", "control-plane"), "cluster-stopped .*"),
    Row("the control plane killed", nodes("kill", "control-plane"), "cluster-stopped .*"),
    Row("the context lost", lose_context, "context-missing .*", risk="harmless"),
    Row("the context spoilt", spoil_context, "context-missing .*", risk="harmless"),
    Row("the credentials spoilt", spoil_credentials, "context-missing .*", risk="harmless"),
    Row("kubectl's file cut off", spoil_file, "context-missing .*", risk="harmless"),
    Row("a worker off its network", take_off_network, "node-detached .*", workers=1, touches="Pod"),
    Row("a worker stopped", nodes("stop", "worker"), "cluster-stopped .*", workers=1),
    Row("a worker paused", nodes("pause", "worker2"), "cluster-stopped .*", workers=2),
    Row("both workers stopped", nodes("stop", "worker", "worker2"), "cluster-stopped .*", workers=2),
    Row("all nodes stopped", nodes("stop", "worker", "worker2", "control-plane"), "cluster-stopped .*", workers=2),
    Row("a node cordoned, and its pod deleted", cordon_and_delete, "node-cordoned .*", touches=pod("loki")),
    Row("a kubelet stopped", stop_kubelet, "nodes-not-ready .*", workers=1, touches="Pod"),
    *(
        Row(
            f"a {kind} webhook that nobody answers",
            both(webhook(kind, client), run("delete", "pod", "loki-0")),
            f"webhook-unreachable .*of the {kind}WebhookConfiguration e2e-nobody",
            touches=pod("loki"),
            by_hand=paste("webhook-unreachable"),
        )
        for kind, client in (
            ("Validating", {"url": "https://127.0.0.1:9/validate"}),
            ("Mutating", {"service": {"name": "gone", "namespace": "e2e-policy", "path": "/mutate"}}),
        )
    ),
    Row(
        "a quota that is used up",
        both(run("create", "quota", "e2e-none", "--hard=pods=0"), run("delete", "pod", "loki-0")),
        "pod-refused .*the quota e2e-none",
        touches=pod("loki"),
        by_hand=run("delete", "quota", "e2e-none"),
    ),
    Row(
        "a limit range that is too small",
        both(limit_range, run("delete", "pod", "loki-0")),
        "pod-refused .*maximum memory usage per Container is 64Mi",
        touches=pod("loki"),
        by_hand=run("delete", "limitrange", "e2e-small"),
    ),
    Row(
        "a controller without its rights",
        both(
            cluster_wide("delete", "clusterrolebinding", "system:controller:statefulset-controller"),
            run("delete", "pod", "tempo-0"),
        ),
        "pod-refused .*statefulset-controller may not create pods",
        touches=pod("tempo"),
        by_hand=paste("pod-refused"),
    ),
    *(
        Row(
            f"a node tainted {effect}",
            taint(effect),
            f"unschedulable .*has the taint dedicated=e2e:{effect}",
            touches="Pod",
            workers=2,
            by_hand=paste("unschedulable"),
        )
        for effect in ("NoSchedule", "NoExecute")
    ),
    Row(
        "a claim older than its storage class",
        claim_before_class,
        "volume-pending .*is older than the storage class",
        touches=r"Pod/tempo-0|PersistentVolumeClaim/data-tempo-0",
    ),
    Row(
        "scaled to 0 by another manager",
        scale_as_another,
        "scaled-down tempo is scaled to 0 by flux",
        touches=pod("tempo"),
        by_hand=paste("scaled-down"),
    ),
    Row(
        "the namespace deleted",
        lambda place: ask(
            *("kubectl", "--context", place.context, "delete", "namespace", "observability"), environ=place.environ()
        ),
        "drift Namespace/observability: missing",
        touches=".*",
        keeps_data=False,
    ),
)

QUICK = frozenset(
    {
        "loki deleted",
        "loki scaled to 0",
        "a Service deleted",
        "a ConfigMap deleted",
        "arguments spoilt",
        "the control plane stopped",
        "the context lost",
        "the credentials spoilt",
    }
)
"""The eight that every change is tried with (`make e2e`); `make e2e-repair` tries them all."""
