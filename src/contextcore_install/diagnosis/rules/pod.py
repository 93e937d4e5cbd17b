"""What keeps a pod from being ready: its image, its configuration and volumes, crashes, nodes and probes."""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules._pod_crashes import CRASHES
from contextcore_install.diagnosis.rules._pod_images import IMAGES
from contextcore_install.diagnosis.rules._pod_nodes import NODES, SCHEDULING
from contextcore_install.diagnosis.rules._pod_probes import PROBES
from contextcore_install.diagnosis.rules._pod_volumes import CONFIGURATION, VOLUMES

RULES: tuple[Rule, ...] = (
    *IMAGES, *CONFIGURATION, *VOLUMES, *CRASHES, *SCHEDULING, *NODES, *PROBES,
)  # fmt: skip
