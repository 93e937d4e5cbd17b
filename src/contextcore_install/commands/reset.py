"""--reset: the state is put aside, and the cluster is left alone."""

from __future__ import annotations

import os

from contextcore_install.core.errors import ExitCode
from contextcore_install.runtime.app import App
from contextcore_install.runtime.output import tell_done
from contextcore_install.runtime.wiring import owner
from contextcore_install.storage.archived import archive_records, records_of
from contextcore_install.storage.backup.restoring import give_up
from contextcore_install.storage.home import make_home, make_private
from contextcore_install.storage.lock import Lock


def run(app: App) -> int:
    """Put the records of the cluster aside and say where they are."""
    if not _is_recorded(app):
        tell_done(app, f"nothing is recorded of {app.settings.cluster}; there is nothing to reset", reset=False)
        return ExitCode.DONE
    make_home(app.home)
    make_private(app.layout.folder)
    lock = Lock(app.layout.lock, owner())
    try:
        give_up(app.layout)  # first: while there are records, the next reset sees what is left to do
        kept = archive_records(app.home, app.settings.cluster)
    finally:
        lock.release()
    tell_done(
        app,
        f"the state of {app.settings.cluster} is put aside ({kept}); the cluster was not touched",
        reset=True,
        archive=kept,
    )
    return ExitCode.DONE


def _is_recorded(app: App) -> bool:
    """Tell whether there is anything to put aside.

    It may be records of the cluster, those of a restore that was begun, or a file of others at the plan's path.
    """
    layout, home = app.layout, app.home
    if any(os.path.lexists(path) for path in (layout.restore, *records_of(layout))):
        return True
    return os.path.lexists(home.plan_path) and not home.linked_cluster()
