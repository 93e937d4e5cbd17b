"""--repair: everything is checked, the remedies are shown, carried out, and checked again."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.failures import still_wrong
from contextcore_install.core.findings import CheckResult, Risk
from contextcore_install.core.ports import StepContext
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.replaced import DataReplaced
from contextcore_install.engine.state import CLUSTER_STEP
from contextcore_install.runtime.app import App
from contextcore_install.runtime.cancellable import at_work, take_lock
from contextcore_install.runtime.check_all import survey
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.prompts import can_ask, require_yes
from contextcore_install.runtime.remedies import curable, diagnose, tell_remedies
from contextcore_install.runtime.remote_state import alone_in_cluster
from contextcore_install.runtime.require_installation import require_known
from contextcore_install.runtime.running import RunEngine, carry_out
from contextcore_install.runtime.selection import read_stack
from contextcore_install.runtime.session import Session
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.store import read_records

ROUNDS = 2
"""What the second round cannot mend is for people."""
BEYOND_REPAIR = "node-lost"
"""The finding after which a cluster can only be made anew."""


def run(app: App) -> int:
    """Find what is broken, and fix it."""
    require_known(app, "repair")
    provider, found = diagnose(app)
    broken = {step: result for step, result in found.items() if not result.satisfied}
    if broken and not _consented(app, provider, found):
        return ExitCode.PREFLIGHT_FAILED if set(broken) == {"preflight"} else ExitCode.STEP_FAILED

    lock = _make_room(app, found) if app.settings.allow_data_loss else None

    def work(session: Session, console: Console, run_engine: RunEngine) -> RunResult:
        accept_shown(app, session, found)
        return mend(app, session, console, run_engine)

    return carry_out(app, work, lock=lock)


def accept_shown(app: App, session: Session, found: dict[str, CheckResult]) -> None:
    """Have the run accept the losses of data among what was found before it, if --yes says so, and no others."""
    if not app.settings.yes:
        return
    findings = [finding for result in found.values() for finding in result.findings]
    session.accepted = [finding for finding in findings if isinstance(finding, DataReplaced)]
    session.accepts_any_loss = app.settings.allow_data_loss and any(
        finding.remedy and finding.remedy.risk is Risk.LOSES_DATA and not finding.warning for finding in findings
    )


def mend(app: App, session: Session, console: Console, run_engine: RunEngine) -> RunResult:
    """Carry the remedies out, check again, and do so once more where that may help."""
    rounds = 0
    while True:
        rounds += 1
        result = run_engine(session.engine(session.plan))
        if result.outcome is Outcome.INTERRUPTED or result.reason:  # told to end, whatever had failed by then
            return result
        left = survey(session.plan, app.clock)
        if result.outcome is Outcome.SUCCEEDED and all(item.satisfied for item in left.values()):
            return result
        if rounds == ROUNDS or not _worth_another_round(app, session.plan, result, left):
            return _what_remains(console, result, left)


def _consented(app: App, provider: str, found: dict[str, CheckResult]) -> bool:
    """Show what is to be done, and tell whether it may be: by --yes, or by somebody at a terminal.

    Raises InstallError `declined` where somebody says no.
    """
    if app.settings.yes:
        if not app.json:  # there, the findings are among the run's events
            tell_remedies(app, provider, found)
        return True
    command = app.commands("--repair", "--yes")
    if can_ask(app):
        tell_remedies(app, provider, found)
        if curable(found, may_lose_data=app.settings.allow_data_loss):
            require_yes(app, "Carry these out?")
        return True
    if not curable(found, may_lose_data=app.settings.allow_data_loss):
        tell_remedies(app, provider, found, refused="no automatic remedy")
        if not app.json:
            app.stdout.write("\nNothing was changed: a repair has no remedy of its own for this.\n")
        return False
    tell_remedies(app, provider, found, refused="needs --yes", next=command)
    if not app.json:
        app.stdout.write(f"\nNothing was changed: nobody can be asked here. {command} carries these out.\n")
    return False


def _make_room(app: App, found: dict[str, CheckResult]) -> Lock | None:
    """Remove a cluster that lost nodes, once what can be is saved; return the lock, for the repair to take over.

    None where nothing is beyond repair. Raises InstallError where the volumes cannot be saved.
    """
    if BEYOND_REPAIR not in {finding.code for finding in found[CLUSTER_STEP].problems}:
        return None
    lock = take_lock(app)
    try:
        with at_work(app) as ctx:
            _save_and_remove(app, ctx)
    except BaseException:
        lock.release()
        raise
    return lock


def _save_and_remove(app: App, ctx: StepContext) -> None:
    from contextcore_install.commands.backup import make_backup

    records = read_records(app.layout, app.settings.cluster)
    provider = read_stack(app, records.state).provider
    try:
        saved = make_backup(app, records, provider, ctx, about="before-recreate-", all_of_it=False)
    except InstallError as error:
        error.message = f"the cluster is beyond repair, and its volumes cannot be saved first: {error.message}"
        raise
    ctx.notice(f"saved in {saved.path} ({saved.words}); `restore` puts it back")
    with alone_in_cluster(app, provider):
        ctx.raise_if_cancelled()
        provider.remove_cluster(ctx)


def _worth_another_round(app: App, plan: Plan, result: RunResult, left: dict[str, CheckResult]) -> bool:
    """Whether anything may be healed that is not behind a step which failed for good."""
    if any(error.retryable for error in result.errors.values()):
        return True
    reachable = {
        step: found
        for step, found in left.items()
        if result.errors.keys().isdisjoint(needed.id for needed in plan.until(step))
    }
    return curable(reachable, may_lose_data=app.settings.allow_data_loss)


def _what_remains(console: Console, result: RunResult, left: dict[str, CheckResult]) -> RunResult:
    """Show what is left, and return it as the steps' errors: those of the engine, which saw more, come first."""
    from contextcore_install.ui.plans import render_remedies

    remain = {step: still_wrong(found.problems) for step, found in left.items() if found.problems}
    console.say("\n" + render_remedies(left, console.style))
    errors: Mapping[str, InstallError] = {**remain, **result.errors}
    return RunResult(Outcome.FAILED, {step: errors[step] for step in left if step in errors})
