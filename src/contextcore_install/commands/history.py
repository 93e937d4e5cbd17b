"""history: earlier runs, from the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contextcore_install.app import App
from contextcore_install.commands.tell import tell_document
from contextcore_install.core.errors import ExitCode
from contextcore_install.core.events import Event, Kind, second
from contextcore_install.storage.store import journal_events

HISTORY_SCHEMA = "contextcore-install/history/v1"


def run(app: App) -> int:
    """Show the runs, the latest last."""
    from contextcore_install.ui.history import render_history

    runs = earlier_runs(journal_events(app.layout))
    document = {"schema": HISTORY_SCHEMA, "cluster": app.settings.cluster, "runs": runs}
    tell_document(app, document, lambda look: render_history(runs, look))
    return ExitCode.DONE


def earlier_runs(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the runs that events tell of, in order; `outcome` is None for one that ended without a word."""
    runs: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.kind is Kind.RUN_STARTED:
            runs[event.run_id] = {
                "run_id": event.run_id,
                "mode": event.data.get("mode"),
                "started_at": second(event.at_us),
                "duration_seconds": None,
                "outcome": None,
                "failed_step": None,
                "applied": [],
            }
        run = runs.get(event.run_id)
        if run is None:
            continue
        if event.kind is Kind.STEP_STARTED and event.step not in run["applied"]:
            run["applied"].append(event.step)
        elif event.kind is Kind.STEP_FAILED:
            run["failed_step"] = event.step
        elif event.kind is Kind.RUN_FINISHED:
            run["outcome"] = event.data.get("outcome")
            run["duration_seconds"] = event.data.get("duration_seconds")
    return list(runs.values())
