"""delete: what runs is ended, and the cluster's folder removed. Asks for the name, as data goes with it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ClusterState
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.backing_up import Backup, make_backup, resolve_what_runs
from contextcore_install.runtime.installation import resolve
from contextcore_install.runtime.interaction import agreed, can_ask, cancellable, report_done, require_name
from contextcore_install.runtime.records import take_lock
from contextcore_install.runtime.remote_state import alone_in_cluster
from contextcore_install.runtime.selection import is_bound
from contextcore_install.runtime.watch_service import end_service
from contextcore_install.storage.archived import archive_records, require_archivable
from contextcore_install.storage.backup.restoring import give_up
from contextcore_install.storage.files import using
from contextcore_install.storage.store import read_records
from contextcore_install.ui.text import size

UNKNOWN_CONTEXT = "context-missing"


def run(app: App) -> int:
    name = app.settings.cluster
    if not app.layout.exists and not _runs_without_records(app):
        return report_done(app, f"there is no installation {name}; nothing was deleted", deleted=False)
    large = f", {size(_bytes_in(app.layout.folder))} in {app.layout.folder}" if app.layout.folder.is_dir() else ""
    question = f"This ends {name} and removes its data{large}. Type its name to go on: "
    require_name(app, question, "was not deleted", own("delete", "--yes", "--cluster", name))
    asks = can_ask(app) and app.layout.exists
    wanted = app.settings.arguments["backup"] or (asks and agreed(app, "Back it up first?"))
    with cancellable(app) as ctx, take_lock(app):
        require_archivable(app.home, name)
        saved = _end_what_runs(app, ctx, with_backup=wanted)
        give_up(app.layout)  # or what is cut off here would be brought back by the next run
        kept = archive_records(app.home, name, app.layout.backups)
        with using(app.layout.folder), suppress(FileNotFoundError):
            shutil.rmtree(app.layout.folder)
    facts: dict[str, Any] = {"archive": kept}
    sentence = f"{name} is deleted; its records are kept in {kept}"
    folder = Path(kept) / app.layout.backups.name
    if backups := sorted(path for path in folder.glob("*.tar.gz") if path.is_file()):
        facts["backups"] = [str(path) for path in backups]
        names = ", ".join(path.name for path in backups)
        one = len(backups) == 1
        sentence += f", and a backup in {backups[0]}" if one else f", and {len(backups)} backups in {folder}: {names}"
    if saved:
        facts["backup"] = str(folder / saved.path.name)
    return report_done(app, sentence, deleted=True, **facts)


def _bytes_in(folder: Path) -> int:
    """Return how many bytes lie in a folder, as far as this user may see; links count themselves."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - os.walk gives texts
    return total


def _runs_without_records(app: App) -> bool:
    """Whether there is a cluster of ours although its folder is lost, as a provider may know by other marks."""
    provider = resolve(app, State(app.settings.cluster)).provider
    try:
        return provider.cluster().state not in (ClusterState.ABSENT, ClusterState.FOREIGN)
    except InstallError:
        return False


def _end_what_runs(app: App, ctx: StepContext, *, with_backup: bool) -> Backup | None:
    records = read_records(app.layout, app.settings.cluster)
    installation, saved = resolve_what_runs(app, records.state, records.state), None
    if with_backup:
        saved = make_backup(installation, records, ctx, about="before-delete-")
    ctx.raise_if_cancelled()
    end_service(app, ctx)
    try:
        with alone_in_cluster(app, installation.provider):
            ctx.raise_if_cancelled()
            installation.provider.remove_cluster(ctx)
    except InstallError as error:
        if error.code != UNKNOWN_CONTEXT or is_bound(records.state):
            raise  # else its name was mistyped, and there is nothing to remove
    return saved
