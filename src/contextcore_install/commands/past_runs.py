"""Earlier runs: `history` is told from the journal, `logs` are what their steps' commands printed."""

from __future__ import annotations

import re

from contextcore_install.core.errors import ExitCode, InstallError, own
from contextcore_install.core.text import ascii_json
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.runtime.app import App
from contextcore_install.runtime.recovery import require_installation
from contextcore_install.ui.text import sanitize

LOGS_SCHEMA = "contextcore-install/log-line/v1"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z ")
_WIDTH = max(map(len, STEP_IDS))


def history(app: App) -> int:
    from contextcore_install.runtime.interaction import report_document
    from contextcore_install.storage.journal.compaction import read_journal_summary
    from contextcore_install.ui.tables import render_history

    require_installation(app, "history", "show the history of")
    runs = read_journal_summary(app.layout.journal, app.settings.cluster).runs
    document = {"cluster": app.settings.cluster, "runs": runs}
    return report_document(app, "history/v1", document, lambda style: render_history(runs, style))


def logs(app: App) -> int:
    """Print the latest log in which a step had something to do, or each step's of the latest run."""
    from contextcore_install.storage.step_logs import did_something, has_log, read_log, runs_with_logs

    require_installation(app, "logs", "show the logs of")
    logs, step = app.layout.logs, app.settings.arguments["step"]
    runs = runs_with_logs(logs)[::-1]
    wanted = [step] if step else list(STEP_IDS)
    logged = [run_id for run_id in runs if any(has_log(logs, run_id, name) for name in wanted)]
    if not logged:
        what = f"of {step} " if step else ""
        raise InstallError("no-log", f"there is no log {what}for {app.settings.cluster} yet", hint=own("--status"))
    run_id = next((run_id for run_id in logged if step and did_something(logs, run_id, step)), logged[0])
    if not app.json:
        # A step that had nothing to do in the latest run is shown as of an earlier one.
        when = "the latest" if run_id == runs[0] else f"the last that left this; the latest is {runs[0]}"
        app.stdout.write(f"run {run_id} ({when}; times are UTC)\n")
    for name in wanted:
        for line in read_log(logs, run_id, name):
            _print(app, run_id, name, line)
    return ExitCode.DONE


def _print(app: App, run_id: str, step: str, line: str) -> None:
    if app.json:
        document = {"schema": LOGS_SCHEMA, "run_id": run_id, "step": step, "line": line}
        app.stdout.write(ascii_json(document) + "\n")
    else:
        found = _TIME.match(line)
        when, text = (found[1], line[found.end() :]) if found else (" " * 8, line)
        indent = " " * (len(text) - len(text.lstrip()))
        app.stdout.write(f"{when}  {step:<{_WIDTH}}  {indent}{app.commands.typed(sanitize(text, 8192))}\n")
