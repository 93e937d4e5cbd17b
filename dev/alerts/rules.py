"""The alert rules, in the shape of the files that Grafana provisions.

The shape is that of "Use configuration files to provision alerting resources" in Grafana's documentation; the SDK's
builder makes that of the HTTP API. In annotations `$values` stays as it is, as only `${VARIABLE}` is expanded there;
no label may hold a dollar sign.
"""

from __future__ import annotations

import json
from typing import Any

from contextcore_install.core.dataclass import dataclass
from dev.dashboards import cluster_panels, overview_panels
from dev.dashboards.panels import UID
from dev.dashboards.promql import DEAD_AFTER_S, Clusters

FOLDER = "ContextCore"
EVERY = "30s"
"""How often the rules are looked at."""

SLOW_FACTOR = 3
"""How many times its 95th percentile a step may take."""

LEAST_LIMIT_S, LIMIT_WITHOUT_HISTORY_S = 120, 900
"""Seconds that a step may take at least (a history of failures within a second says nothing), and without a history."""

_RECENT = Clusters("", "7d")
_HISTORY = Clusters("", "30d")


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule: it fires for each series of `expression` whose value is above `limit`."""

    uid: str
    title: str
    expression: str
    limit: float
    severity: str
    summary: str
    description: str
    panel: int
    lasting: str = "0s"


def _slow() -> str:
    """Return how much of the time that each step at work may take has gone."""
    history = f"quantile_over_time(0.95, {_HISTORY.series('step_duration_seconds')})"
    usual = f"clamp_min({SLOW_FACTOR} * {history}, {LEAST_LIMIT_S})"
    without = f"{_RECENT.last('step_started_timestamp')} * 0 + {LIMIT_WITHOUT_HISTORY_S}"
    return f"{_RECENT.elapsed()} / on (cluster, step) ({usual} or {without})"


RULES = (
    AlertRule(
        uid="contextcore-installation-failed",
        title="Installation failed",
        expression=f"{_RECENT.failed_steps} and on (cluster) {_RECENT.ended}",
        limit=0,
        severity="critical",
        summary="The installation {{ $labels.cluster }} has failed",
        description="Its latest run ended with {{ $values.A.Value }} failed step(s). Once the cause is fixed, "
        "`./create-cluster.sh --resume` carries on.",
        panel=overview_panels.FAILURES,
    ),
    AlertRule(
        uid="contextcore-step-slow",
        title="Step takes unusually long",
        expression=_slow(),
        limit=1,
        severity="warning",
        summary="The step {{ $labels.step }} of {{ $labels.cluster }} takes unusually long",
        description=f"It has been at work longer than {SLOW_FACTOR} times its 95th percentile, or than "
        f"{LIMIT_WITHOUT_HISTORY_S // 60} minutes where it has no history. "
        "`./create-cluster.sh logs` shows what it does.",
        panel=cluster_panels.DURATIONS,
    ),
    AlertRule(
        uid="contextcore-heartbeat-lost",
        title="Installation run was cut off",
        expression=_RECENT.silence,
        limit=DEAD_AFTER_S,
        severity="critical",
        summary="The run that installed {{ $labels.cluster }} is gone",
        description="It has not ended, and was last heard of {{ humanizeDuration $values.A.Value }} ago. "
        "`./create-cluster.sh --resume` carries on where it was.",
        panel=overview_panels.CURRENT_STEP,
    ),
    AlertRule(
        uid="contextcore-verification-failed",
        title="Verification failed",
        expression=_RECENT.verification_failed,
        limit=0,
        severity="critical",
        summary="The latest verification of {{ $labels.cluster }} failed",
        description="Something critical is not as it should be. `./create-cluster.sh verify` says what, and "
        "`./create-cluster.sh --repair` mends what it can.",
        panel=cluster_panels.UNMET,
    ),
)


def alert_rules() -> str:
    """Return the file."""
    group = {
        "orgId": 1,
        "name": "installation",
        "folder": FOLDER,
        "interval": EVERY,
        "rules": [_provisioned(rule) for rule in RULES],
    }
    return json.dumps({"apiVersion": 1, "groups": [group]}, indent=2) + "\n"


def _provisioned(rule: AlertRule) -> dict[str, Any]:
    panel = str(rule.panel)
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "B",
        "data": [_query(rule.expression), _threshold(rule.limit)],
        # No series: nothing is installed, or nothing runs. No answer: it stays as it was.
        "noDataState": "OK",
        "execErrState": "KeepLast",
        "for": rule.lasting,
        "dashboardUid": UID,
        "panelId": rule.panel,
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "__dashboardUid__": UID,
            "__panelId__": panel,
        },
        "labels": {"severity": rule.severity, "source": "contextcore-install"},
        "isPaused": False,
    }


def _query(expression: str) -> dict[str, Any]:
    return {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "mimir",
        "model": {
            "refId": "A",
            "datasource": {"type": "prometheus", "uid": "mimir"},
            "editorMode": "code",
            "expr": expression,
            "instant": True,
            "range": False,
            "intervalMs": 1000,
            "maxDataPoints": 43200,
        },
    }


def _threshold(limit: float) -> dict[str, Any]:
    return {
        "refId": "B",
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": "B",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [limit]}}],
        },
    }
