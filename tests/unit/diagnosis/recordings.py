"""What programs really said, and the rule that must know it: recorded/SUBJECT.yaml, with whatever rules look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from contextcore_install.core.dataclass import dataclass
from contextcore_install.diagnosis.diagnose import Evidence
from contextcore_install.diagnosis.rule import Subject

FOLDER = Path(__file__).parent / "recorded"
_POD = {
    "workload": "loki",
    "pod": "loki-0",
    "image": "grafana/loki:3.7.6",
    "kubectl": "kubectl --context kind-demo -n observability",
    "image_remedy": "Load it from the container engine into the nodes.",
    "image_command": "./create-cluster.sh --resume",
    "lacked": "gone",
    "default": "",
    "untaint": "",
    "gone": "",
    "cordoned": "",
}
_PROCESS = {
    "title": "the metrics store",
    "cluster": "demo",
    "port": "9009",
    "port_key": "mimir",
    "folder": "/data/vm",
    "quoted": "/data/vm",
    "path": "/ready",
    "version": "3.1.1",
}
_ENGINE = {
    "engine": "docker",
    "product": "The container engine",
    "start": "sudo systemctl start docker",
    "restart": "sudo systemctl restart docker",
    "trust": "sudo update-ca-certificates",
    "local": "docker context use default",
}
_WEBHOOK = {
    "of_configuration": " of the ValidatingWebhookConfiguration policies",
    "webhook_removal": "kubectl --context kind-demo delete validatingwebhookconfiguration policies",
    "webhook_look": "kubectl --context kind-demo describe validatingwebhookconfiguration policies",
}
FACTS: Mapping[Subject, Mapping[str, str]] = {
    Subject.MACHINE: {},
    Subject.ENGINE: _ENGINE,
    Subject.KIND: {**_ENGINE, "node_image": "n", "control_plane": "demo-control-plane", "port_key": "COMPONENT"},
    Subject.PULL: {**_ENGINE, "image": "grafana/loki:3.7.6"},
    Subject.LOAD: {
        **_ENGINE,
        "image": "grafana/loki:3.7.6",
        "nodes": "demo-control-plane",
        "by_hand": "docker save grafana/loki:3.7.6 | docker exec -i demo-control-plane ctr -n k8s.io images import -",
    },
    Subject.CLUSTER: {
        "cluster": "demo",
        "nodes": "demo-worker, demo-worker2",
        "uncordon": "demo-worker demo-worker2",
        "count": "1",
        "said_by_kubectl": "kubectl knows no context kind-demo.",
        "export": "kind export kubeconfig --name demo",
        "engine": "docker",
        "control_plane": "demo-control-plane",
        "network": "kind",
        "connect": "docker network connect kind demo-worker",
        "restart": "demo-worker demo-worker2",
        "why": "api-unreachable",
        "file": "/home/jane/.kube/config",
        "aside": "/home/jane/.kube/config.aside",
        "hint": "kubectl --context kind-demo get --raw /readyz",
    },
    Subject.NODE: {
        "cluster": "demo",
        "engine": "docker",
        "seconds": "180",
        "what": "not ready: demo-worker",
        "node": "demo-worker",
    },
    Subject.KUBECTL: {
        "context": "kind-demo",
        "namespace": "observability",
        "manifests": "/m",
        "context_remedy": "Name one that is there.",
        "context_command": "kubectl config get-contexts -o name",
        "argv": "kubectl apply --server-side -f -",
        "again": "./create-cluster.sh diagnose",
        "kubectl": "kubectl --context kind-demo -n observability",
        **_WEBHOOK,
    },
    Subject.NAMESPACE: {"context": "kind-demo", "namespace": "observability"},
    Subject.WORKLOAD: {
        "workload": "loki",
        "kind": "statefulset",
        "kubectl": "kubectl --context kind-demo -n observability",
        "object": "StatefulSet/loki",
        "namespace": "observability",
        "replicas": "0",
        "wanted": "1",
        "by": " by kubectl-scale",
        "manager": "flux",
        **_WEBHOOK,
    },
    Subject.CLAIM: {**_POD, "claim": "data-loki-0"},
    Subject.POD: _POD,
    Subject.PROCESS: _PROCESS,
    Subject.HTTP: _PROCESS,
    Subject.SYSTEM: {
        "kubectl": "kubectl --context kind-demo -n kube-system",
        "kubeadm": "docker exec demo-control-plane kubeadm",
        "ready": "2",
        "wanted": "3",
    },
    Subject.SERVICE: {"title": "grafana", "url": "http://127.0.0.1:3000/api/health", "port": "3000"},
}
"""What the callers know when they ask about a subject."""


@dataclass(frozen=True)
class Recording:
    """Evidence of a subject, the id of the rule that it must fit, and words that the sentence must hold."""

    subject: Subject
    rule: str
    evidence: Evidence
    says: str = ""

    @property
    def name(self) -> str:
        """How tests name it."""
        return f"{self.subject}: {self.rule}"


def recordings() -> Iterator[Recording]:
    """Yield all recordings."""
    for subject in Subject:
        text = (FOLDER / f"{subject}.yaml").read_text(encoding="utf-8")
        for entry in yaml.load(text, yaml.CSafeLoader):  # ten times as fast as the one in Python
            yield _recording(subject, dict(entry))


def _recording(subject: Subject, entry: dict[str, Any]) -> Recording:
    rule, says = entry.pop("rule"), entry.pop("says", "")
    facts = {**FACTS[subject], **entry.pop("facts", {})}
    component = entry.pop("component", subject.value)
    return Recording(subject, rule, Evidence(component, facts=facts, **entry), says)
