"""delete: what runs is ended, and the cluster's folder removed. Asks for the name, as data goes with it."""

from __future__ import annotations

import shutil
from typing import Any

from contextcore_install.app import App
from contextcore_install.commands.ask import typed
from contextcore_install.commands.reset import archive_records
from contextcore_install.commands.tell import tell_done
from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.context import Context
from contextcore_install.core.errors import ExitCode, InstallError, usage_error
from contextcore_install.core.events import Kind
from contextcore_install.core.ports import ClusterState
from contextcore_install.core.state import State
from contextcore_install.storage.files import unusable
from contextcore_install.storage.layout import make_home, make_private
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.store import read_records
from contextcore_install.ui.text import harmless
from contextcore_install.wiring import owner, read_stack

TIME_LIMIT_S = 300.0


def run(app: App) -> int:
    """Remove the installation; its records go to the archive."""
    name = app.settings.cluster
    if not app.layout.folder.is_dir() and not _runs_without_records(app):
        tell_done(app, f"there is no installation {name}; nothing was deleted", deleted=False)
        return ExitCode.DONE
    _confirm(app)
    make_home(app.home)
    make_private(app.layout.folder)
    lock = Lock(app.layout.lock, owner())
    try:
        _end_what_runs(app)
        kept = archive_records(app)
        _remove_folder(app)
    finally:
        lock.release()
    tell_done(app, f"{name} is deleted; its records are kept in {kept}", deleted=True, archive=kept)
    return ExitCode.DONE


def _confirm(app: App) -> None:
    name, settings = app.settings.cluster, app.settings
    if settings.yes and settings.cluster_given:
        return
    question = f"This ends {name} and removes its data. Type its name to go on: "
    if settings.yes or not typed(app, name, question):
        command = f"{settings.program} delete --yes --cluster {name}"
        raise usage_error(f"{name} was not deleted: its name was not given", command)


def _runs_without_records(app: App) -> bool:
    """Whether there is a cluster of ours although its folder is lost, as a provider may tell by other marks."""
    provider = read_stack(app, State(app.settings.cluster)).provider
    try:
        return provider.cluster().state not in (ClusterState.ABSENT, ClusterState.FOREIGN)
    except InstallError:
        return False


def _end_what_runs(app: App) -> None:
    records = read_records(app.layout, app.settings.cluster)
    provider = read_stack(app, records.state).provider

    def tell(kind: Kind, _: str, data: dict[str, Any]) -> None:
        if kind is Kind.ACTIVITY and not app.json:
            app.stdout.write(f"  {harmless(data['text'])}\n")
            app.stdout.flush()

    limit = min(app.settings.timeout_s, TIME_LIMIT_S)
    provider.remove_cluster(Context("", CancelToken(), tell, app.clock, app.clock.monotonic() + limit))


def _remove_folder(app: App) -> None:
    try:
        shutil.rmtree(app.layout.folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(app.layout.folder, error) from error
