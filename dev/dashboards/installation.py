"""The dashboard "Installation Status": where each installation stands, and the story of one run."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import DataSourceRef

from dev.dashboards import cluster_panels, overview_panels, run_panels
from dev.dashboards.panels import FOLDER_TAG, METRICS, UID

LOOK_BACKS = ("1d", "7d", "30d")
"""How far back the last sample of an installation may be; the second one at first."""

_LATEST = "last_over_time(contextcore_install_{name}{{{matcher}}}[$lookback])"


def installation_dashboard() -> str:
    """Return the dashboard in the JSON that Grafana provisions."""
    dashboard = (
        board.Dashboard("Installation Status")
        .uid(UID)
        .description("Where each installation stands, from its first second on, and the story of one run.")
        .tags([FOLDER_TAG])
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        dashboard.with_variable(variable)
    for panel in overview_panels.panels():
        dashboard.with_panel(panel)
    dashboard.with_row(board.Row("Cluster $cluster").repeat("cluster").id(cluster_panels.ROW_ID))
    for panel in cluster_panels.panels():
        dashboard.with_panel(panel)
    dashboard.with_row(board.Row("Run $run").id(run_panels.ROW_ID))
    for panel in run_panels.panels():
        dashboard.with_panel(panel)
    return json.dumps(dashboard.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variables() -> list[Any]:
    source = (
        board.DatasourceVariable("datasource")
        .label("Metrics")
        .type("prometheus")
        .current(models.VariableOption(text="Mimir", value="mimir"))
    )
    clusters = (
        _query("cluster", _LATEST.format(name="started_timestamp", matcher=""), "cluster")
        .label("Cluster")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text=["All"], value=["$__all"]))
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    matcher = 'cluster=~"$cluster"'
    runs = (
        _query("run", _LATEST.format(name="info", matcher=matcher), "run_id")
        .label("Run")
        .description("The newest first: their names begin with the time at which they began.")
        .sort(models.VariableSort.ALPHABETICAL_DESC)
    )
    # What Tempo is asked for. Grafana cannot work it out of the run's name.
    trace = _query("trace", _LATEST.format(name="info", matcher=f'{matcher},run_id="$run"'), "trace_id").hide(
        models.VariableHide.HIDE_VARIABLE
    )
    look_back = (
        board.CustomVariable("lookback")
        .label("Look back")
        .description("How long ago the last sample of an installation may be.")
        .values(",".join(LOOK_BACKS))
        .current(models.VariableOption(text=LOOK_BACKS[1], value=LOOK_BACKS[1]))
        .options([models.VariableOption(text=text, value=text, selected=text == LOOK_BACKS[1]) for text in LOOK_BACKS])
    )
    return [source, look_back, clusters, runs, trace]


def _query(name: str, expression: str, label: str) -> board.QueryVariable:
    """Return a variable with the values of a label.

    `label_values(…)` would list only what has samples within the time shown, and an installation is done in minutes.
    """
    text = f"query_result({expression})"
    return (
        board.QueryVariable(name)
        .datasource(DataSourceRef(type_val=METRICS.type_val, uid=METRICS.uid))
        .query(text)
        .definition(text)
        .regex(f'/{label}="([^"]+)"/')
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
