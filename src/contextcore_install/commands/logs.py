"""logs: what a step's commands printed, and what the engine said of it."""

from __future__ import annotations

import json
from pathlib import Path

from contextcore_install.app import App
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.state import STEP_IDS
from contextcore_install.storage.step_logs import has_log, read_log, runs_with_logs
from contextcore_install.ui.text import harmless

LOGS_SCHEMA = "contextcore-install/log-line/v1"


def run(app: App) -> int:
    """Print the latest log in which a step had something to do, or each step's of the latest run."""
    logs, step = app.layout.logs, app.settings.arguments["step"]
    runs = runs_with_logs(logs)[::-1]
    wanted = [step] if step else list(STEP_IDS)
    told = [run_id for run_id in runs if any(has_log(logs, run_id, name) for name in wanted)]
    if not told:
        what = f"of {step} " if step else ""
        raise InstallError(
            "no-log", f"there is no log {what}for {app.settings.cluster} yet", hint="see --status"
        )
    run_id = next((run_id for run_id in told if step and _did_something(logs, run_id, step)), told[0])
    if not app.json:
        app.stdout.write(_heading(run_id, latest=runs[0]))
    for name in wanted:
        for line in read_log(logs, run_id, name):
            _print(app, run_id, name, line)
    return ExitCode.DONE


def _heading(run_id: str, latest: str) -> str:
    """Name the run, as a step that had nothing to do in the latest is shown as of an earlier one."""
    when = "the latest" if run_id == latest else f"the last that left this; the latest is {latest}"
    return f"run {run_id} ({when})\n"


def _did_something(logs: Path, run_id: str, step: str) -> bool:
    return any("[step_started]" in line or "[step_failed]" in line for line in read_log(logs, run_id, step))


def _print(app: App, run_id: str, step: str, line: str) -> None:
    if app.json:
        document = {"schema": LOGS_SCHEMA, "run_id": run_id, "step": step, "line": line}
        app.stdout.write(json.dumps(document) + "\n")
    else:
        app.stdout.write(f"{step}  {harmless(line, 4096)}\n")
