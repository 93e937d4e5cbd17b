"""Panels about the chosen run: which runs there are, its log lines, its trace."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import logs, loki, table, tempo
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from dev.dashboards.panels import LOGS, METRICS, NOTHING, SHOWN, TRACES, UID, rows

ROW_ID, RUNS, LINES, TRACE = range(20, 24)

_CHOOSE = f"/d/{UID}?${{__url_time_range}}&${{datasource:queryparam}}&${{cluster:queryparam}}&var-run=${{__value.raw}}"


def panels() -> list[Any]:
    """Return the panels, from left to right and top to bottom."""
    return [_runs(), _lines(), _trace()]


def _runs() -> Any:
    names = {"run_id": "Run", "cluster": "Cluster", "provider": "Provider", "version": "Version"}
    organize = {
        "excludeByName": {"Time": True, "Value": True, "trace_id": True},
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    choose = {"title": "Show this run", "url": _CHOOSE, "targetBlank": False}
    return (
        table.Panel()
        .id(RUNS)
        .title("Runs")
        .description("A click on a run shows its lines and its trace.")
        .datasource(METRICS)
        .with_target(rows(f"max by (cluster, run_id, trace_id, provider, version) ({SHOWN.last('info')})"))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
        .with_transformation(
            models.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": "Run", "desc": True}]})
        )
        .override_by_name("Run", [models.DynamicConfigValue("links", [choose])])
        .no_value(NOTHING)
        .height(10)
        .span(9)
    )


def _lines() -> Any:
    # The lines are the events' documents, and the time shown may be long after the run.
    query = '{service_name="contextcore-install", cluster=~"$cluster"} | json | run_id="$run"'
    return (
        logs.Panel()
        .id(LINES)
        .title("Log of the run")
        .description("What happened in the run, event by event.")
        .datasource(LOGS)
        .with_target(loki.Dataquery().datasource(LOGS).ref_id("A").expr(query).query_type("range").max_lines(1000))
        .time_from("$lookback")
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .no_value("No line of this run in Loki within the time looked back on")
        .height(10)
        .span(15)
    )


def _trace() -> Any:
    # A query of nothing but hexadecimal digits is a trace's id to Grafana.
    query = tempo.Dataquery().datasource(TRACES).ref_id("A").query_type("traceql").query("$trace")
    return (
        board.Panel()
        .type("traces")
        .id(TRACE)
        .title("Trace of the run")
        .description("A span for each step, and for each command of a step. Empty where Tempo has no trace of the run.")
        .datasource(TRACES)
        .with_target(query)
        .no_value("No trace of this run in Tempo")
        .height(14)
        .span(24)
    )
