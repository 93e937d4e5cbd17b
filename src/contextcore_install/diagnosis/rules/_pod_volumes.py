"""Which configuration or volume a pod lacks. From messages of the kubelet and the attach/detach controller."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules.pod_reasons import CONFIG, DESCRIBE, MOUNT

_APPLY = Rule(
    "config-missing",
    "{workload} cannot start: a ConfigMap or Secret, or a key in one, is missing.",
    "Apply the manifests again.",
    REPAIR,
    reasons=CONFIG,
    code="config-missing",
    risk=Risk.RESTARTS,
    automatic=True,
    lasts_s=6.0,
)
CONFIGURATION: tuple[Rule, ...] = (
    Rule(
        "kubelet-starting",
        "The kubelet has itself just started, and has not heard of everything yet.",
        reasons=CONFIG | MOUNT,
        message=r"services have not yet been read|failed to sync (configmap|secret) cache|not registered"
        r"|no relationship found between node",
        passing="waits for its node",
    ),
    Rule(
        "object-back",
        "The ConfigMap or Secret that {workload} lacked is there now; its node tries again within two minutes.",
        reasons=CONFIG | MOUNT,
        where={"lacked": "^there again$"},
        passing="waits for its node to try again",
    ),
    replace(
        _APPLY,
        id="object-missing",
        sentence="{workload} cannot start: the {kind} {object} is missing.",
        reasons=CONFIG | MOUNT,
        message=r"(?P<kind>configmap|secret)s? \"(?P<object>[^\"]+)\" not found",
    ),
    replace(
        _APPLY,
        id="key-missing",
        sentence="{workload} cannot start: a ConfigMap or Secret lacks the key {key}.",
        reasons=CONFIG | MOUNT,
        message=r"(?:couldn't find key|references non-existent (?:config|secret) key:) (?P<key>\S+)",
    ),
    Rule(
        "image-runs-as-root",
        "{workload} cannot start: its image runs as root, and its manifest forbids that.",
        "Have its manifest put in place again; if it goes on, use an image with a user of its own, or set runAsUser.",
        REPAIR,
        reasons=CONFIG,
        message=r"image will run as root|image has non-numeric user|run as non-root",
        risk=Risk.RESTARTS,
        automatic=True,
        lasts_s=6.0,
    ),
    _APPLY,
)

VOLUMES: tuple[Rule, ...] = (
    Rule(
        "volume-in-use",
        "{workload} waits for its volume, which another pod or node still holds.",
        "Wait: it is let go when that pod is gone, or some minutes after its node is; else see which pod holds it.",
        "{kubectl} get pods -o wide",
        reasons=MOUNT,
        message=r"multi-attach error|already (exclusively attached|used by pod)|already mounted by pod",
        automatic=True,
        lasts_s=60.0,
    ),
    Rule(
        "volume-not-mounted",
        "{workload} cannot start: its volume cannot be mounted.",
        "Wait for its node to try again; if it goes on, see what the node says.",
        DESCRIBE,
        reasons=MOUNT,
        automatic=True,
        lasts_s=60.0,
    ),
)
