"""One number each about every chosen cluster."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.models.common import BigValueTextMode

from dev.dashboards.panels import SHOWN, number, status_mapping, thresholds

CURRENT_STEP, PROGRESS, DURATION, FAILURES, VERIFIED, COMPLETENESS = range(1, 7)
DAY_S = 86_400


def panels() -> list[Any]:
    """Return the panels, from left to right."""
    current = (
        number(
            "Current step",
            "The steps that are at work. Several can be. A run that was cut off leaves its steps interrupted: "
            "resuming it carries on from there.",
            SHOWN.unfinished,
            legend="{{step}} ({{cluster}})",
        )
        .id(CURRENT_STEP)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .mappings([status_mapping()])
        .no_value("No step is at work")
        .span(6)
    )
    progress = (
        number("Progress", "The share of the steps that are completed.", SHOWN.last("progress_ratio"))
        .id(PROGRESS)
        .unit("percentunit")
        .decimals(0)
        .thresholds(thresholds((None, "blue"), (1.0, "green")))
        .span(3)
    )
    duration = (
        number(
            "Duration of the latest run",
            "It stops when the run ends, and for a run that was killed with its last sign of life.",
            SHOWN.run_seconds,
        )
        .id(DURATION)
        .unit("dtdurations")
        .thresholds(thresholds((None, "text")))
        .span(4)
    )
    failures = (
        number("Failed steps", "How many steps stand as failed.", SHOWN.failed_steps)
        .id(FAILURES)
        .decimals(0)
        .thresholds(thresholds((None, "green"), (1.0, "red")))
        .span(3)
    )
    verified = (
        number(
            "Since the last successful verification",
            "How long ago a verification last found everything critical as it should be.",
            SHOWN.verified_ago,
        )
        .id(VERIFIED)
        .unit("dtdurations")
        .no_value("No successful verification within the time looked back on")
        .thresholds(thresholds((None, "green"), (DAY_S, "yellow"), (7 * DAY_S, "red")))
        .span(4)
    )
    completeness = (
        number(
            "Completeness",
            "The mean of all requirements, as the latest verification found them.",
            SHOWN.last("completeness_percent"),
        )
        .id(COMPLETENESS)
        .unit("percent")
        .decimals(0)
        .no_value("Nothing was verified within the time looked back on")
        .thresholds(thresholds((None, "red"), (50.0, "yellow"), (100.0, "green")))
        .span(4)
    )
    return [current, progress, duration, failures, verified, completeness]
