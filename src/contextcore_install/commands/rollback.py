"""rollback: the steps of an installation are undone, the last first; data is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import InstallError, own, usage_error
from contextcore_install.core.provider import ClusterState, Provider
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.undoing import steps_to_undo
from contextcore_install.runtime.app import App
from contextcore_install.runtime.backing_up import make_backup, volumes_of
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.interaction import can_ask, cancellable, report_done, require_name, require_yes
from contextcore_install.runtime.records import take_lock
from contextcore_install.runtime.running import carry_out, ended, interrupted_words
from contextcore_install.runtime.session import Prepared, Session
from contextcore_install.runtime.watch_service import end_service
from contextcore_install.storage.store import read_records
from contextcore_install.ui.console.summary import render_failure, render_rolled_back

CLUSTER_STEP = "cluster_create"
_UNDOING = {
    CLUSTER_STEP: "the cluster is removed",
    "manifests_apply": "what runs is stopped, and its configuration removed",
}


@dataclass(frozen=True, slots=True)
class _Intent:
    """What is to be undone. `loses_data` says that the volumes go with the cluster."""

    steps: tuple[str, ...]
    loses_data: bool = False


def run(app: App) -> int:
    name = app.settings.cluster
    if not app.layout.exists:
        return report_done(app, f"there is no installation {name}; nothing was undone", undone=[])
    with ExitStack() as stack:
        lock = stack.enter_context(take_lock(app))
        intent, kept = _prepare(app)
        if not intent.steps:
            return report_done(app, f"{name} has nothing to undo", undone=[])
        stack.pop_all()  # the run releases it
    words = partial(_last_words, intent.steps, kept)
    return carry_out(app, lambda session, _: session.undo(intent.steps), Prepared(lock), words=words)


def _prepare(app: App) -> tuple[_Intent, str]:
    """Find out what is to be done, have it agreed to, and save what would be lost; return also where data is kept."""
    records = read_records(app.layout, app.settings.cluster)
    installation = resolve(app, records.state)
    plan = installation.plan(installation.shipper(lambda _: None))
    steps = steps_to_undo(plan, records.state, app.settings.arguments["to"])
    if not steps:
        return _Intent(()), ""
    intent = _Intent(steps, CLUSTER_STEP in steps and _loses_data(installation.provider))
    _show(installation, intent)
    _confirm(app, intent)
    kept = "Its data is where it was."
    with cancellable(app) as ctx:
        if intent.loses_data and app.settings.arguments["no_backup"]:
            kept = "Its data went with it."
        elif intent.loses_data:
            saved = make_backup(installation, records, ctx, about="before-rollback-")
            kept = f"Its data is in {saved.path}"
        if CLUSTER_STEP in steps:
            ctx.raise_if_cancelled()
            end_service(app, ctx)
        ctx.raise_if_cancelled()
    return intent, kept


def _loses_data(provider: Provider) -> bool:
    """Whether removing the cluster takes data along; raises InstallError if that is not known."""
    if provider.cluster().state in (ClusterState.ABSENT, ClusterState.FOREIGN):
        return False
    try:
        return not provider.data().outlives_cluster and bool(volumes_of(provider))
    except InstallError as error:
        hint = error.hint or f"{own('rollback', '--no-backup')}, which loses the data"
        raise replace(error, hint=hint) from error


def _show(installation: Installation, intent: _Intent) -> None:
    app = installation.app
    if app.json:
        return
    place = f"{app.settings.cluster} on {installation.selection.provider}"
    app.stdout.write(f"{place}, to be undone, the last step first:\n")
    data = "; data stays"
    if intent.loses_data:
        lost = app.settings.arguments["no_backup"]
        data = ", and its data is lost (--no-backup)" if lost else ", with its volumes, which are backed up first"
    for step in intent.steps:
        text = _UNDOING.get(step, "only its record") + (data if step == CLUSTER_STEP else "")
        app.stdout.write(f"  {step:<16}  {text}\n")
    app.stdout.flush()


def _confirm(app: App, intent: _Intent) -> None:
    name, settings = app.settings.cluster, app.settings
    if intent.loses_data and settings.arguments["no_backup"]:
        question = f"The data of {name} is lost. Type its name to go on: "
        command = own("rollback", "--no-backup", "--yes", "--cluster", name)
        require_name(app, question, "was not rolled back", command)
        return
    if not settings.yes and not can_ask(app):
        raise usage_error(f"{name} was not rolled back: nobody agreed to it", own("rollback", "--yes"))
    require_yes(app, "Undo this?", takes_away=True)


def _last_words(steps: Sequence[str], kept: str, session: Session, console: Console, result: RunResult) -> str:
    commands = session.app.commands
    if result.outcome is Outcome.SUCCEEDED:
        return "\n" + render_rolled_back(ended(session), steps, kept, console.style, commands)
    carries_on = (commands("rollback"), "continues the rollback")
    if result.outcome is Outcome.FAILED:
        logs = session.logs_of(result.errors)
        return "\n" + render_failure(ended(session), result.errors, console.style, commands, logs, [carries_on])
    return f"{interrupted_words(session, console, result)}\n      {'  '.join(carries_on)}"
