"""Taking away: `rollback` undoes steps and keeps data, `delete` removes the cluster with all that it holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own, usage_error
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ClusterState, Provider
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.replica import HasRemoteRecords
from contextcore_install.engine.state import CLUSTER_STEP, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.installation import Installation, resolve, resolve_what_runs, volumes_of
from contextcore_install.runtime.interaction import agreed, can_ask, cancellable, report_done, require_name, require_yes
from contextcore_install.runtime.records import take_lock
from contextcore_install.runtime.selection import is_bound
from contextcore_install.storage.archived import archive_records, require_archivable
from contextcore_install.storage.files import using
from contextcore_install.storage.store import read_records
from contextcore_install.ui.text import size

if TYPE_CHECKING:  # what undoes nothing carries no plan out
    from contextcore_install.runtime.backing_up import Backup
    from contextcore_install.runtime.console import Console
    from contextcore_install.runtime.session import Session

UNKNOWN_CONTEXT = "context-missing"
_UNDOING = {
    CLUSTER_STEP: "the cluster is removed",
    "manifests_apply": "what runs is stopped, and its configuration removed",
}


def rollback(app: App) -> int:
    from contextcore_install.runtime.running import carry_out
    from contextcore_install.runtime.session import Prepared

    name = app.settings.cluster
    if not app.layout.exists:
        return report_done(app, f"there is no installation {name}; nothing was undone", undone=[])
    with ExitStack() as stack:
        lock = stack.enter_context(take_lock(app))
        steps, kept = _prepare(app)
        if steps:
            stack.pop_all()  # the run releases it
    if not steps:
        return report_done(app, f"{name} has nothing to undo", undone=[])
    words = partial(_last_words, steps, kept)
    return carry_out(app, lambda session, _: session.undo(steps), Prepared(lock), words=words)


def _prepare(app: App) -> tuple[tuple[str, ...], str]:
    """Have agreed to what is to be undone, and save what would be lost; return the steps, and where data is kept."""
    from contextcore_install.engine.undoing import steps_to_undo

    records = read_records(app.layout, app.settings.cluster)
    installation = resolve(app, records.state)
    plan = installation.plan(installation.shipper(lambda _: None))
    steps = steps_to_undo(plan, records.state, app.settings.arguments["to"])
    if not steps:
        return (), ""
    loses_data = CLUSTER_STEP in steps and _loses_data(installation.provider)
    if not app.json:
        _show(installation, steps, loses_data=loses_data)
    _confirm(app, loses_data=loses_data)
    kept = "Its data is where it was."
    with cancellable(app) as ctx:
        if loses_data and app.settings.arguments["no_backup"]:
            kept = "Its data went with it."
        elif loses_data:
            from contextcore_install.runtime.backing_up import make_backup

            saved = make_backup(installation, records, ctx, about="before-rollback-")
            kept = f"Its data is in {saved.path}"
        if CLUSTER_STEP in steps:
            from contextcore_install.runtime.watch_service import end_service

            ctx.raise_if_cancelled()
            end_service(app, ctx)
        ctx.raise_if_cancelled()
    return steps, kept


def _loses_data(provider: Provider) -> bool:
    """Whether removing the cluster takes data along; raises InstallError if that is not known."""
    if provider.cluster().state in (ClusterState.ABSENT, ClusterState.FOREIGN):
        return False
    try:
        return not provider.data().outlives_cluster and bool(volumes_of(provider))
    except InstallError as error:
        hint = error.hint or f"{own('rollback', '--no-backup')}, which loses the data"
        raise replace(error, hint=hint) from error


def _show(installation: Installation, steps: Sequence[str], *, loses_data: bool) -> None:
    app = installation.app
    place = f"{app.settings.cluster} on {installation.selection.provider}"
    app.stdout.write(f"{place}, to be undone, the last step first:\n")
    data = "; data stays"
    if loses_data:
        lost = app.settings.arguments["no_backup"]
        data = ", and its data is lost (--no-backup)" if lost else ", with its volumes, which are backed up first"
    for step in steps:
        text = _UNDOING.get(step, "only its record") + (data if step == CLUSTER_STEP else "")
        app.stdout.write(f"  {step:<16}  {text}\n")
    app.stdout.flush()


def _confirm(app: App, *, loses_data: bool) -> None:
    name, settings = app.settings.cluster, app.settings
    if loses_data and settings.arguments["no_backup"]:
        question = f"The data of {name} is lost. Type its name to go on: "
        command = own("rollback", "--no-backup", "--yes", "--cluster", name)
        require_name(app, question, "was not rolled back", command)
        return
    if not settings.yes and not can_ask(app):
        raise usage_error(f"{name} was not rolled back: nobody agreed to it", own("rollback", "--yes"))
    require_yes(app, "Undo this?", takes_away=True)


def _last_words(steps: Sequence[str], kept: str, session: Session, console: Console, result: RunResult) -> str:
    from contextcore_install.runtime.running import ended, interrupted_words
    from contextcore_install.ui.console.summary import render_failure, render_rolled_back

    commands = session.app.commands
    if result.outcome is Outcome.SUCCEEDED:
        return "\n" + render_rolled_back(ended(session), steps, kept, console.style, commands)
    carries_on = (commands("rollback"), "continues the rollback")
    if result.outcome is Outcome.FAILED:
        logs = session.logs_of(result.errors)
        return "\n" + render_failure(ended(session), result.errors, console.style, commands, logs, [carries_on])
    return f"{interrupted_words(session, console, result)}\n      {'  '.join(carries_on)}"


def delete(app: App) -> int:
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
        if app.layout.restore.is_dir():  # else what is cut off here would be brought back by the next run
            from contextcore_install.storage.backup.restoring import give_up

            give_up(app.layout)
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


def _alone(app: App, provider: Provider) -> AbstractContextManager[None]:
    """Have the lease on the installation while it is removed, if its cluster has one."""
    if not isinstance(provider, HasRemoteRecords):
        return nullcontext()
    from contextcore_install.runtime.remote_state import alone_in_cluster

    return alone_in_cluster(app, provider)


def _end_what_runs(app: App, ctx: StepContext, *, with_backup: bool) -> Backup | None:
    from contextcore_install.runtime.watch_service import end_service

    records = read_records(app.layout, app.settings.cluster)
    installation, saved = resolve_what_runs(app, records.state, records.state), None
    if with_backup:
        from contextcore_install.runtime.backing_up import make_backup

        saved = make_backup(installation, records, ctx, about="before-delete-")
    ctx.raise_if_cancelled()
    end_service(app, ctx)
    try:
        with _alone(app, installation.provider):
            ctx.raise_if_cancelled()
            installation.provider.remove_cluster(ctx)
    except InstallError as error:
        if error.code != UNKNOWN_CONTEXT or is_bound(records.state):
            raise  # else its name was mistyped, and there is nothing to remove
    return saved
