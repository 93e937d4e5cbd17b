"""The steps of the installation, in one visible list. Adding a step is a class in this folder, and one line here."""

from __future__ import annotations

from contextcore_install.engine.plan import Plan
from contextcore_install.steps.base import BaseStep, StepTools
from contextcore_install.steps.metrics_seed import MetricsSeed
from contextcore_install.steps.provider_steps import ClusterCreate, ManifestsApply, PodsReady, Preflight, ServicesVerify

STEPS: tuple[type[BaseStep], ...] = (Preflight, ClusterCreate, ManifestsApply, PodsReady, ServicesVerify, MetricsSeed)
TITLES = {step.id: step.title for step in STEPS}
NEEDS = {step.id: step.needs for step in STEPS}


def installation_plan(tools: StepTools) -> Plan:
    return Plan([step(tools) for step in STEPS])
