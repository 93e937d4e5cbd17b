"""--reset: the state is put aside, and the cluster is left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from contextcore_install.app import App
from contextcore_install.commands.tell import tell_done
from contextcore_install.core.errors import ExitCode
from contextcore_install.storage.files import unusable
from contextcore_install.storage.layout import ClusterLayout, make_home, make_private
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.parts import past_parts
from contextcore_install.storage.put_aside import thin_archives
from contextcore_install.wiring import owner


def run(app: App) -> int:
    """Put the records of the cluster aside and say where they are."""
    if not _is_recorded(app):
        tell_done(
            app, f"nothing is recorded of {app.settings.cluster}; there is nothing to reset", reset=False
        )
        return ExitCode.DONE
    make_home(app.home)
    make_private(app.layout.folder)
    lock = Lock(app.layout.lock, owner())
    try:
        kept = archive_records(app)
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
    """Tell whether there is anything to put aside: records of the cluster, or a file of others at the plan's path."""
    layout, home = app.layout, app.home
    if any(os.path.lexists(path) for path in _records(layout)):
        return True
    return os.path.lexists(home.plan_path) and not home.linked_cluster()


def _records(layout: ClusterLayout) -> tuple[Path, ...]:
    # The state goes last: until it has gone, a repeated reset finds the rest. The journal goes from its end, so that
    # what is left of it is a journal.
    aside = (part.path for part in past_parts(layout.journal) if not part.is_packed)
    return (layout.logs, layout.cursors, layout.journal, *aside, layout.past, layout.state)


def archive_records(app: App, *more: Path) -> str:
    """Move state, journal, cursors, logs and `more` to the archive; return the folder. The caller holds the lock."""
    layout, home = app.layout, app.home
    make_private(home.archive)
    target = home.archive / f"{app.settings.cluster}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    count = 1
    while target.exists():
        count += 1
        target = target.with_name(f"{target.name.split('.')[0]}.{count}")
    make_private(target)
    sources = [(source, source.name) for source in (*more, *_records(layout))]
    if not home.plan_path.is_symlink():
        sources.insert(0, (home.plan_path, f"plan-path-{home.plan_path.name}"))
    for source, name in sources:
        try:
            source.rename(target / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unusable(source, error) from error
    if home.linked_cluster() == app.settings.cluster:
        home.plan_path.unlink(missing_ok=True)
    thin_archives(home, app.settings.cluster)
    return str(target)
