"""The status of an installation as one versioned document (docs/reference/status.md)."""

from __future__ import annotations

from contextcore_install.core.dataclass import Any
from contextcore_install.engine.state import State, StepState

STATUS_SCHEMA = "contextcore-install/status/v1"
_OF_RUN = ("mode", "started_at", "finished_at", "outcome")


def status_document(state: State, *, live: bool, holder: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the status document: `live` if a run is under way, by `holder` (pid, host, since, command)."""
    document: dict[str, Any] = {
        "schema": STATUS_SCHEMA,
        "cluster": state.cluster_name,
        "provider": state.provider or None,
        "installation_id": state.installation_id or None,
        "run_id": state.run.run_id or None,
        "progress": round(state.progress, 4),
        "overall": overall(state, live=live),
        "started_at": state.started_at or None,
        "updated_at": state.updated_at or None,
        "run": {name: getattr(state.run, name) or None for name in _OF_RUN} | {"live": live},
        "settings": state.settings,
        "steps": [_step_document(step_id, step) for step_id, step in state.planned.items()],
    }
    if others := [name for name in state.steps if name not in state.planned]:
        document["other_steps"] = [_step_document(name, state.steps[name]) for name in others]
    if holder:
        document["run"]["holder"] = holder
    return document


def overall(state: State, *, live: bool) -> str:
    """Return the status of the installation in one word."""
    if not state.exists:
        return "not_installed"
    if live:
        return "running"
    if state.progress == 1.0:
        return "complete"
    if state.failed:
        return "failed"
    cut_off = state.run.run_id and state.run.outcome in ("", "interrupted")
    return "interrupted" if cut_off else "incomplete"


def _step_document(step_id: str, step: StepState) -> dict[str, Any]:
    times = {"started_at": step.started_at or None, "completed_at": step.completed_at or None}
    document = {"id": step_id, "status": step.status, "attempts": step.attempts, **times}
    return {**document, "duration_seconds": step.duration_seconds, "error": step.error}
