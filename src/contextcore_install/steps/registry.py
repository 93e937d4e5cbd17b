"""The installation, in one visible list. Adding a step is a module beside this file, and one line here."""

from __future__ import annotations

from contextcore_install.engine.plan import Plan
from contextcore_install.steps.base import BaseStep, Surroundings
from contextcore_install.steps.cluster_create import ClusterCreate
from contextcore_install.steps.manifests_apply import ManifestsApply
from contextcore_install.steps.metrics_seed import MetricsSeed
from contextcore_install.steps.pods_ready import PodsReady
from contextcore_install.steps.preflight import Preflight
from contextcore_install.steps.services_verify import ServicesVerify

STEPS: tuple[type[BaseStep], ...] = (Preflight, ClusterCreate, ManifestsApply, PodsReady, ServicesVerify, MetricsSeed)
TITLES = {step.id: step.title for step in STEPS}
NEEDS = {step.id: step.needs for step in STEPS}


def installation_plan(surroundings: Surroundings) -> Plan:
    """Return the plan: each step waits for what it needs, and for nothing else."""
    return Plan([step(surroundings) for step in STEPS])
