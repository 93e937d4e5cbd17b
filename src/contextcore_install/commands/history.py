"""history: earlier runs, from the journal."""

from __future__ import annotations

from contextcore_install.core.errors import ExitCode
from contextcore_install.runtime.app import App
from contextcore_install.runtime.output import tell_document
from contextcore_install.runtime.require_installation import require_known
from contextcore_install.storage.journal.compaction import read_journal_summary

HISTORY_SCHEMA = "contextcore-install/history/v1"


def run(app: App) -> int:
    """Show the runs, the latest last."""
    from contextcore_install.ui.tables import render_history

    require_known(app, "history", "show the history of")
    runs = read_journal_summary(app.layout.journal, app.settings.cluster).runs.rows
    document = {"schema": HISTORY_SCHEMA, "cluster": app.settings.cluster, "runs": runs}
    tell_document(app, document, lambda style: render_history(runs, style))
    return ExitCode.DONE
