"""state: what scripts read and write of an installation, over the same records and locks as runs."""

from __future__ import annotations

import os

from contextcore_install.core.errors import ExitCode, usage_error
from contextcore_install.core.events import Kind, microseconds
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.state import COMPLETED, FAILED, IN_PROGRESS, PENDING, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document, report_done
from contextcore_install.storage.store import read_records
from contextcore_install.ui.text import sanitize

SENDING_PATIENCE_S = 2.0  # what a metrics store that does not answer may cost a script, in seconds


def state(app: App) -> int:
    wanted = app.settings.arguments
    action, step, status = wanted["action"], wanted["step"], wanted["value"]
    if action == "set":
        if not step or not status:
            raise usage_error("state set needs a STEP and a STATUS", "as in: state set pods_ready completed")
        return _set(app, step, status)
    if status or (action == "send" and step):
        raise usage_error(f"state {action} takes no {'STATUS' if status else 'STEP'}")
    return _send(app) if action == "send" else _get(app, step)


def _get(app: App, step: str | None) -> int:
    state = read_records(app.layout, app.settings.cluster).state
    chosen = [step] if step else list(state.steps)
    steps = {name: state.step(name).as_document() for name in chosen}
    document = {"cluster": app.settings.cluster, "steps": steps}
    lines = [str(steps[name]["status"]) if step else f"{sanitize(name)} {steps[name]['status']}" for name in chosen]
    return report_document(app, "step-state/v1", document, lambda _: "\n".join(lines))


def _set(app: App, step: str, status: str) -> int:
    from contextcore_install.runtime.records import open_records

    with open_records(app) as (state, recorder, shipper):
        if not state.installation_id:
            recorder.record(Kind.INSTALLATION_STARTED, installation_id=os.urandom(16).hex(), provider="", settings={})
        _record(app, state, recorder, step, status)
        recorder.sync()
        shipper.close(SENDING_PATIENCE_S)
    if app.json:
        report_done(app, f"{step} is {status}", step=step, status=status)
    return ExitCode.DONE


def _send(app: App) -> int:
    from contextcore_install.runtime.records import open_records

    if not app.layout.exists:
        return ExitCode.DONE  # nothing to send, and nothing to be made for it
    with open_records(app) as (_, _, shipper):
        shipper.close(SENDING_PATIENCE_S)
    return ExitCode.DONE


def _record(app: App, state: State, recorder: Recorder, step: str, status: str) -> None:
    """Record the change as the events that a run would have recorded for it."""
    known, took = state.step(step), None
    if known.status == IN_PROGRESS and known.started_at:
        took = max(0.0, round((app.clock.now_us() - microseconds(known.started_at)) / 1e6, 3))
    if status == IN_PROGRESS:
        recorder.record(Kind.STEP_STARTED, step, attempt=known.attempts + 1)
    elif status == COMPLETED:
        recorder.record(Kind.STEP_COMPLETED, step, duration_seconds=took)
    elif status == FAILED:
        error = {"code": "script", "message": f"{step} failed, as a script says", "hint": ""}
        recorder.record(Kind.STEP_FAILED, step, error=error, duration_seconds=took)
    elif status == PENDING:
        recorder.record(Kind.STEP_INVALIDATED, step, reason="a script says so")
