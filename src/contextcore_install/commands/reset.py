"""--reset: the state is archived, and the cluster is left alone."""

from __future__ import annotations

import os

from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_done
from contextcore_install.runtime.records import take_lock
from contextcore_install.storage.archived import archive_records, records_of
from contextcore_install.storage.backup.restoring import give_up


def reset(app: App) -> int:
    name = app.settings.cluster
    if not _is_recorded(app):
        return report_done(app, f"nothing is recorded of {name}; there is nothing to reset", reset=False)
    with take_lock(app):
        give_up(app.layout)  # first: while there are records, the next reset sees what is left to do
        kept = archive_records(app.home, name)
    sentence = f"the state of {name} is put aside ({kept}); the cluster was not touched"
    return report_done(app, sentence, reset=True, archive=kept)


def _is_recorded(app: App) -> bool:
    """Whether there are records, those of a restore that was begun, or a file of others at the plan's path."""
    layout, home = app.layout, app.home
    if any(os.path.lexists(path) for path in (layout.restore, *records_of(layout))):
        return True
    return os.path.lexists(home.latest_link) and not home.linked_cluster()
