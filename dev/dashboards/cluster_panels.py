"""Panels about one cluster each; their row is repeated for every chosen cluster."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import bargauge, statetimeline, table
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from dev.dashboards.panels import (
    METRICS,
    NOTHING,
    SHOWN,
    last_value,
    now,
    over_time,
    rows,
    status_mapping,
    thresholds,
    with_steps,
)

ROW_ID, TIMELINE, ATTEMPTS, DURATIONS, CATEGORIES, UNMET = range(10, 16)


def panels() -> list[Any]:
    """Return the panels, from left to right and top to bottom."""
    return [_timeline(), _attempts(), _durations(), _categories(), _unmet()]


def _timeline() -> Any:
    panel = (
        statetimeline.Panel()
        .id(TIMELINE)
        .title("Steps")
        .description(
            "Each step's status. A step is interrupted when its run ended, or was last heard of a minute ago, "
            "before the step did."
        )
        .datasource(METRICS)
        .interval("1s")
        .mappings([status_mapping()])
        .thresholds(thresholds((None, "#8e8e8e")))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.85)
        .fill_opacity(80)
        .legend(_no_legend())
        .no_value(NOTHING)
        .height(8)
        .span(24)
    )
    return with_steps(panel, lambda step: [over_time(SHOWN.status(step=step), "{{step}}")])


def _no_legend() -> common_builders.VizLegendOptions:
    # The colours are named in the bars.
    return (
        common_builders.VizLegendOptions()
        .show_legend(False)
        .display_mode(common.LegendDisplayMode.HIDDEN)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def _bars(panel_id: int, title: str, description: str) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(METRICS)
        .reduce_options(last_value())
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.TEXT)
        .name_placement(common.BarGaugeNamePlacement.LEFT)
        .legend(_no_legend())
        .min(0)
        .no_value(NOTHING)
        .height(9)
        .span(8)
    )


def _attempts() -> Any:
    panel = (
        _bars(ATTEMPTS, "Attempts", "How often each step was begun, in all runs of the installation.")
        .decimals(0)
        .thresholds(thresholds((None, "green"), (2.0, "yellow"), (4.0, "red")))
    )
    return with_steps(panel, lambda step: [now(SHOWN.last("step_attempts_total", step=step), "{{step}}")])


def _durations() -> Any:
    """Return pairs of bars: a step, and what it took before."""
    panel = (
        _bars(
            DURATIONS,
            "Duration of each step",
            "How long each step took, or has been at work, and in grey the mean of the times before that.",
        )
        .unit("s")
        .thresholds(thresholds((None, "blue")))
        .override_by_regexp(
            "/, before$/", [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "#8e8e8e"})]
        )
    )
    return with_steps(
        panel,
        lambda step: [
            now(SHOWN.step_seconds(step=step), "{{step}}"),
            now(SHOWN.earlier_seconds(step=step), "{{step}}, before"),
        ],
    )


def _categories() -> Any:
    return (
        _bars(CATEGORIES, "Completeness by category", "The mean of what the latest verification measured.")
        .with_target(now(SHOWN.category_ratio, "{{category}}"))
        .unit("percentunit")
        .max(1)
        .decimals(0)
        .no_value("Nothing was verified within the time looked back on")
        .thresholds(thresholds((None, "red"), (0.5, "yellow"), (1.0, "green")))
    )


def _unmet() -> Any:
    names = {"requirement": "Requirement", "category": "Category", "critical": "Critical", "Value": "Met"}
    organize = {
        "excludeByName": {"Time": True, "cluster": True},
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    return (
        table.Panel()
        .id(UNMET)
        .title("Failed requirements")
        .description("What the latest verification did not find fully met.")
        .datasource(METRICS)
        .with_target(rows(SHOWN.unmet))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
        .unit("percentunit")
        .decimals(0)
        .no_value("No requirement failed, or nothing was verified within the time looked back on")
        .height(6)
        .span(24)
    )
