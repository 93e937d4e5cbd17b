"""history: earlier runs, from the journal."""

from __future__ import annotations

from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document
from contextcore_install.runtime.recovery import require_installation
from contextcore_install.storage.journal.compaction import read_journal_summary


def run(app: App) -> int:
    from contextcore_install.ui.tables import render_history

    require_installation(app, "history", "show the history of")
    runs = read_journal_summary(app.layout.journal, app.settings.cluster).runs
    document = {"cluster": app.settings.cluster, "runs": runs}
    return report_document(app, "history/v1", document, lambda style: render_history(runs, style))
