"""What the panels have in common: where their data comes from, and how a status looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, statetimeline
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from contextcore_install.engine.names import STEP_IDS
from dev.dashboards.promql import COMPLETED, FAILED, IN_PROGRESS, INTERRUPTED, Clusters

Panel = TypeVar("Panel", bargauge.Panel, statetimeline.Panel)

UID = "contextcore-installation"
FOLDER_TAG = "contextcore"

METRICS = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
LOGS = common.DataSourceRef(type_val="loki", uid="loki")
TRACES = common.DataSourceRef(type_val="tempo", uid="tempo")

SHOWN = Clusters('cluster=~"$cluster"', "$lookback")
"""The clusters that the reader chose."""

NOTHING = "No installation within the time looked back on"

STATUSES = {
    0: ("pending", "#8e8e8e"),
    IN_PROGRESS: ("in progress", "blue"),
    COMPLETED: ("completed", "green"),
    FAILED: ("failed", "red"),
    INTERRUPTED: ("interrupted", "orange"),
}
"""How each value of a status is called, and its colour."""


def status_mapping() -> models.ValueMap:
    """Return the value mapping of statuses."""
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(STATUSES.items())
        }
    )


def now(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """Return a query of how things stand at the end of the time shown."""
    return prometheus.Dataquery().datasource(METRICS).ref_id("A").expr(expression).legend_format(legend).instant()


def rows(expression: str) -> prometheus.Dataquery:
    """Return a query of how things stand, as rows of a table."""
    return now(expression).format(PromQueryFormat.TABLE)


def over_time(expression: str, legend: str) -> prometheus.Dataquery:
    """Return a query of how things went during the time shown."""
    return prometheus.Dataquery().datasource(METRICS).ref_id("A").expr(expression).legend_format(legend).range()


def thresholds(*steps: tuple[float | None, str]) -> board.ThresholdsConfig:
    """Return thresholds: from which value (None for the least) which colour."""
    return (
        board.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )


def last_value() -> common_builders.ReduceDataOptions:
    """Return how a series becomes one number."""
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def number(title: str, description: str, expression: str, *, legend: str = "{{cluster}}") -> stat.Panel:
    """Return a panel with one number for each series."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .with_target(now(expression, legend))
        .reduce_options(last_value())
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .no_value(NOTHING)
        .height(4)
    )


def with_steps(panel: Panel, queries: Callable[[str], Sequence[prometheus.Dataquery]]) -> Panel:
    """Give a panel its queries step by step: results come in the order of the queries, which is the plan's."""
    for step in STEP_IDS:
        for place, query in enumerate(queries(step), 1):
            panel.with_target(query.ref_id(f"{step}_{place}"))
    return panel
