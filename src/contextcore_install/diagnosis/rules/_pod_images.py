"""Why a pod has no image. From messages of the kubelet, containerd and registries."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns
from contextcore_install.diagnosis.rules.pod_reasons import DESCRIBE, IMAGE

_PULL = Rule(
    "image-unavailable",
    "{workload}: the image {image} cannot be pulled.",
    "{image_remedy}",
    "{image_command}",
    reasons=IMAGE,
    code="image-unavailable",
    risk=Risk.RESTARTS,
    automatic=True,
    lasts_s=20.0,
)
_GONE = replace(
    _PULL,
    id="image-not-found",
    sentence="{workload}: the image {image} does not exist, or is not for everyone.",
    code="image-not-found",
    lasts_s=3.0,
)
IMAGES: tuple[Rule, ...] = (
    Rule(
        "image-rate-limit",
        "The registry of {image} asks for patience (rate limit).",
        "Wait, or log in to the registry.",
        "docker login",
        reasons=IMAGE,
        message=_patterns.RATE_LIMITED,
        lasts_s=float("inf"),
    ),
    Rule(
        "image-disk-full",
        "{workload}: there is no space left for the image {image} on its node.",
        "Free some space on the disk of the node.",
        DESCRIBE,
        reasons=IMAGE,
        message=_patterns.NO_SPACE,
        code="disk-full",
        lasts_s=20.0,
    ),
    replace(
        _PULL,
        id="image-proxy",
        sentence="{workload}: the image {image} cannot be pulled: the nodes do not get through their proxy.",
        remedy="Correct the nodes' proxy. Else: {image_remedy}",
        message=_patterns.NO_PROXY,
    ),
    replace(
        _PULL,
        id="image-clock",
        sentence="{workload}: the image {image} cannot be pulled: the clock of its node is behind, at {now}.",
        remedy="Set the clock of the nodes: an engine's virtual machine does so when it is started anew."
        " Else: {image_remedy}",
        message=_patterns.CLOCK_BEHIND,
    ),
    replace(
        _PULL,
        id="image-untrusted",
        sentence="{workload}: the image {image} cannot be pulled: "
        "the nodes do not trust the certificate that they are shown.",
        remedy="Put the authority of the proxy that looks into TLS into /usr/local/share/ca-certificates of each node,"
        " then update-ca-certificates and restart containerd there. Else: {image_remedy}",
        message=_patterns.UNTRUSTED,
    ),
    replace(
        _PULL,
        id="image-no-name",
        sentence="{workload}: the image {image} cannot be pulled: the nodes cannot resolve its registry's name.",
        remedy="See whether the nodes are online, and their DNS. Else: {image_remedy}",
        message=_patterns.NO_NAME,
    ),
    replace(
        _GONE,
        id="image-other-machine",
        sentence="{workload}: the image {image} is not made for this kind of machine.",
        message=_patterns.NO_SUCH_PLATFORM,
    ),
    replace(
        _GONE,
        id="image-never-pulled",
        sentence="{workload}: the image {image} is not on the node, and its manifest forbids to pull it.",
        reasons=frozenset({"ErrImageNeverPull"}),
    ),
    replace(_GONE, message=_patterns.NO_IMAGE),
    _PULL,
)
