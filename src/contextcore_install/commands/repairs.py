"""What `plan` shows and `--repair` does: everything is checked, remedies are shown, carried out, and checked again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.findings import Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.replaced import DataReplaced
from contextcore_install.engine.state import CLUSTER_STEP
from contextcore_install.runtime.app import App
from contextcore_install.runtime.checks import Found, checks_document, has_automatic_fix, report_remedies
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.interaction import can_ask, cancellable, report_document, require_yes
from contextcore_install.runtime.recovery import find_installation, known_records
from contextcore_install.runtime.selection import allocate_ports, select
from contextcore_install.steps.registry import NEEDS, TITLES
from contextcore_install.storage.home import require_private
from contextcore_install.storage.store import read_records

if TYPE_CHECKING:
    from contextcore_install.storage.lock import Lock

PREFLIGHT = "preflight"
BEYOND_REPAIR = "node-lost"  # the finding after which a cluster can only be made anew
SOMETHING_TO_DO = 2  # what `--detailed-exitcode` ends with if a run would do something; it is no error then


def plan(app: App) -> int:
    if not app.settings.arguments["detailed_exitcode"]:
        _show(app)
        return ExitCode.DONE
    try:
        return _show(app)
    except InstallError as error:
        raise replace(error, exit_code=ExitCode.STEP_FAILED) from error  # the others have a meaning of their own here


def _show(app: App) -> int:
    """Show the plan; return what `--detailed-exitcode` ends with."""
    for folder in (app.home.folder, app.home.clusters, app.layout.folder):
        require_private(folder)  # as a run would refuse it
    return _show_repair(app) if app.settings.arguments["for_repair"] else _show_installation(app)


def _show_repair(app: App) -> int:
    records, installation = find_installation(app, "plan --repair", "repair")
    found = installation.check(records.notices.append)
    fixable = has_automatic_fix(found, may_lose_data=False)
    problems = any(result.problems for result in found.values())
    after = [(app.commands("--repair"), "carries the remedies out" if fixable else "looks again, and does what it can")]
    report_remedies(app, installation.selection.provider, found, typed=after if problems else ())
    if not problems:
        return ExitCode.DONE
    return SOMETHING_TO_DO if fixable else ExitCode.STEP_FAILED


def _show_installation(app: App) -> int:
    from contextcore_install.ui.checks import render_plan
    from contextcore_install.ui.status import next_lines

    records = known_records(app)
    selection, notices = allocate_ports(app, records.state, select(app, records.state))
    found = Installation(app, selection, records.state).check(records.notices.append)
    head = [f"{app.settings.cluster} on {selection.provider} ({selection.reason})", *notices]
    obstacles = any(not finding.remedy or not finding.remedy.automatic for finding in found[PREFLIGHT].problems)
    to_do = not all(result.satisfied for result in found.values())
    typed = app.commands("verify"), "checks more than a plan does"
    if to_do:
        does = "carries this out" + (", once nothing stands in its way" if obstacles else "")
        typed = app.commands("--resume") if records.state.exists else app.commands(), does
    checks = checks_document(found, app.commands.typed)
    document = {
        "cluster": app.settings.cluster,
        "provider": selection.provider,
        "provider_reason": selection.reason,
        "ports": selection.ports,
        "steps": [{**check, "title": TITLES[check["id"]], "needs": list(NEEDS[check["id"]])} for check in checks],
        "next": typed[0],
    }
    report_document(
        app,
        "plan/v1",
        document,
        lambda style: "\n".join([*head, render_plan(found, style, TITLES), "", *next_lines([typed], style)]),
    )
    if obstacles:
        return ExitCode.STEP_FAILED
    return SOMETHING_TO_DO if to_do else ExitCode.DONE


def repair(app: App) -> int:
    from contextcore_install.runtime.running import carry_out, mend
    from contextcore_install.runtime.session import Prepared

    records, installation = find_installation(app, "repair")
    found = installation.check(records.notices.append)
    broken = {step for step, result in found.items() if not result.satisfied}
    if broken and not _consented(app, installation.selection.provider, found):
        return ExitCode.PREFLIGHT_FAILED if broken == {"preflight"} else ExitCode.STEP_FAILED
    accepted, any_loss = accepted_losses(app, found)
    lock = _make_room(app, found) if app.settings.allow_data_loss else None
    # Whoever was asked may have changed something before answering.
    is_out_of_date = lock or (broken and can_ask(app))
    return carry_out(app, mend, Prepared(lock, None if is_out_of_date else installation, accepted, any_loss))


def _consented(app: App, provider: str, found: Found) -> bool:
    """Show what is to be done, and return whether it may be; raises InstallError `declined` if somebody says no."""
    if app.settings.yes:
        if not app.json:  # there, the findings are among the run's events
            report_remedies(app, provider, found)
        return True
    fixable = has_automatic_fix(found, may_lose_data=app.settings.allow_data_loss)
    if can_ask(app):
        report_remedies(app, provider, found)
        if fixable:
            require_yes(app, "Carry these out?")
        return True
    command = app.commands("--repair", "--yes")
    if fixable:
        report_remedies(app, provider, found, refused="needs --yes", next=command)
        why = f"nobody can be asked here. {command} carries these out."
    else:
        report_remedies(app, provider, found, refused="no automatic remedy")
        why = "a repair has no remedy of its own for this."
    if not app.json:
        app.stdout.write(f"\nNothing was changed: {why}\n")
    return False


def accepted_losses(app: App, found: Found) -> tuple[list[DataReplaced], bool]:
    """Return the losses of data that were shown and --yes accepts, and whether the repair itself makes one."""
    findings = [finding for result in found.values() for finding in result.findings] if app.settings.yes else []
    accepted = [finding for finding in findings if isinstance(finding, DataReplaced)]
    loses = (item for item in findings if item.remedy and item.remedy.risk is Risk.LOSES_DATA and not item.warning)
    return accepted, app.settings.allow_data_loss and any(loses)


def _make_room(app: App, found: Found) -> Lock | None:
    """Remove a cluster that lost nodes, once what can be is saved; return the lock, for the repair to take over.

    None if nothing is beyond repair. Raises InstallError if the volumes cannot be saved.
    """
    if BEYOND_REPAIR not in {finding.code for finding in found[CLUSTER_STEP].problems}:
        return None
    from contextcore_install.runtime.records import take_lock

    with ExitStack() as stack:
        lock = stack.enter_context(take_lock(app))
        with cancellable(app) as ctx:
            _save_and_remove(app, ctx)
        stack.pop_all()  # the repair releases it
    return lock


def _save_and_remove(app: App, ctx: StepContext) -> None:
    from contextcore_install.runtime.backing_up import make_backup
    from contextcore_install.runtime.remote_state import alone_in_cluster

    records = read_records(app.layout, app.settings.cluster)
    installation = resolve(app, records.state)
    try:
        saved = make_backup(installation, records, ctx, about="before-recreate-", all_of_it=False)
    except InstallError as error:
        text = f"the cluster is beyond repair, and its volumes cannot be saved first: {error.message}"
        raise replace(error, message=text) from error
    ctx.notice(f"saved in {saved.path} ({saved.words}); `restore` puts it back")
    with alone_in_cluster(app, installation.provider):
        ctx.raise_if_cancelled()
        installation.provider.remove_cluster(ctx)
