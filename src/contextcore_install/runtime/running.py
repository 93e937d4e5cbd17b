"""Carrying a plan out, from the lock to the last line on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.findings import still_wrong
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.state import COMPLETED
from contextcore_install.runtime.app import App
from contextcore_install.runtime.checks import Found, check_all, has_automatic_fix
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.notifier import Notifier, note_taken_back
from contextcore_install.runtime.selection import COMPONENTS, is_bound
from contextcore_install.runtime.session import NOTHING_PREPARED, Prepared, Session, open_session
from contextcore_install.system.signals import ending_signals
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.console.summary import Ended, render_failure, render_interrupted, render_success

ROUNDS = 2  # what the second round cannot mend is for people
TELEMETRY_PATIENCE_S = 2.0  # what a metrics store that does not answer may cost at the end of a run

Work = Callable[[Session, Console], RunResult]
Words = Callable[[Session, Console, RunResult], str | None]
"""What to say at the end of a run; None if the usual words fit."""


class RunControl:
    """The run's stop handler, for signals (`stopping` hears of each) and for who finds another machine at work."""

    def __init__(self, stopping: Callable[[], None] = lambda: None) -> None:
        self.late_reports: list[str] = []
        self.lost: InstallError | None = None
        self._stopping = stopping
        self._reason = ""
        self._over = False
        self._engine: Engine | None = None

    def run(self, engine: Engine) -> RunResult:
        """Run an engine; raises KeyboardInterrupt if the run is to end already."""
        if self._reason:  # it came when the engine before this one heard nothing any more
            raise KeyboardInterrupt
        self._engine = engine
        try:
            return engine.run()
        finally:
            self._engine = None

    def result_of(self, work: Callable[[], RunResult]) -> RunResult:
        """Do the work; an interruption while no engine runs ends it as one of an engine does."""
        try:
            result = work()
            self._over = True
        except KeyboardInterrupt:
            return RunResult(Outcome.INTERRUPTED, reason=self._reason)
        return result

    def stop(self, reason: str) -> None:
        """Have the run end, from a signal handler; raises KeyboardInterrupt if no engine runs that could."""
        self._reason = reason
        self._stopping()
        if self._engine:
            self._engine.interrupt(reason)
        elif not self._over:
            raise KeyboardInterrupt

    def lose(self, error: InstallError) -> None:
        """End the run, from any thread: another machine acts now, as the error says."""
        self.lost, self._reason = error, error.message
        if engine := self._engine:
            engine.interrupt(error.message)

    def report(self, text: str) -> None:
        """Tell the user of something beside the steps, from any thread; after the run, with its last words."""
        if engine := self._engine:
            engine.notice(text)
        else:
            self.late_reports.append(text)


def carry_out(
    app: App,
    work: Work,
    prepared: Prepared = NOTHING_PREPARED,
    *,
    words: Words = lambda *_: None,
    stopping: Callable[[], None] = lambda: None,
) -> int:
    """Open a session, do the work in it, record how it ended, and report it; return the exit code.

    The contact points are told last, when the lock is free and the user knows already. `stopping` is called from the
    handler of a signal, which may come too late to end anything but the caller.
    """
    notifier = Notifier(app)
    if note_taken_back(app):  # what was looked at would still tell Grafana to take it back
        prepared = replace(prepared, installation=None)
    try:
        return _carry_out(app, work, prepared, notifier, words, RunControl(stopping))
    except InstallError as error:
        notifier.run_refused(error)
        raise
    finally:
        notifier.report_failures()


def _carry_out(app: App, work: Work, prepared: Prepared, notifier: Notifier, words: Words, control: RunControl) -> int:
    console = Console(app)

    def at_once() -> None:
        kill_all_children()
        console.abandon()

    with open_session(app, lambda *about: [notifier, *console.show(*about)], control, prepared) as session:
        with ending_signals(control.stop, at_once), _page_of_run(app, console):
            if app.settings.tutorial:
                session.recorder.attach(console.teach(session.plan))
            session.shipper.start()
            console.start()
            try:
                result = control.result_of(lambda: work(session, console))
                code = exit_code(result, control.lost)
                session.finish(result, code)
                notifier.run_ended(session, result)
                session.shipper.close(TELEMETRY_PATIENCE_S)
            finally:
                console.stop()
        if control.lost:
            raise control.lost
        _report(session, console, result, words(session, console, result))
    return code


def exit_code(result: RunResult, lost: InstallError | None = None) -> ExitCode:
    """Return what the process ends with; `lost` says why the run had to leave the cluster to another machine."""
    if lost:
        return lost.exit_code
    if result.outcome is Outcome.SUCCEEDED:
        return ExitCode.DONE
    if result.outcome is Outcome.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if any(error.code == "bug" for error in result.errors.values()):
        return ExitCode.BUG
    return ExitCode.PREFLIGHT_FAILED if "preflight" in result.errors else ExitCode.STEP_FAILED


def ended(session: Session, *, nothing_to_do: bool = False) -> Ended:
    waited = not session.app.settings.skip_wait
    return Ended(session.state.cluster_name, session.state.provider, session.took_s, nothing_to_do, waited)


def interrupted_words(session: Session, console: Console, result: RunResult) -> str:
    done = [step for step, known in session.state.steps.items() if known.status == COMPLETED]
    total, commands = len(session.state.steps), session.app.commands_of_run
    return "\n" + render_interrupted(ended(session), done, total, console.style, commands, result.reason)


def _report(session: Session, console: Console, result: RunResult, own_words: str | None) -> None:
    """Tell how the run ended: in the caller's own words, else in the usual ones."""
    app, bundle = session.app, _bundle_of(session, result)
    if result.outcome is Outcome.SUCCEEDED and not own_words:
        # Else what failed, or was taken away, is the news, and no wonder that the store is silent.
        for text in session.control.late_reports:
            app.stderr.write(f"note: {text}\n")
    console.say(own_words or _last_words(session, console, result, bundle))
    if bundle and app.json:
        app.stderr.write(f"note: what helps to find out what is wrong is in {bundle}\n")


def _bundle_of(session: Session, result: RunResult) -> str:
    """Return where the bundle of a run that has failed is; nothing if it is not wanted or cannot be made."""
    if result.outcome is not Outcome.FAILED:
        return ""
    try:
        from contextcore_install.runtime.bundle.bundle import bundle_of_failure

        return bundle_of_failure(session, result)
    except Exception:  # noqa: BLE001 - not even its modules may be there any more: the failure itself is to be told
        return ""


def _last_words(session: Session, console: Console, result: RunResult, bundle: str) -> str:
    state, style = session.state, console.style
    if result.outcome is Outcome.INTERRUPTED:
        return interrupted_words(session, console, result)
    if result.outcome is Outcome.FAILED:
        commands, logs = session.app.commands_of_run, session.logs_of(result.errors)
        ways = []
        if state.provider == "kind" and "preflight" in result.errors and not is_bound(state):
            ways = [(commands("--provider", "host"), "installs without a container engine")]
        return "\n" + render_failure(ended(session), result.errors, style, commands, logs, ways, bundle)
    commands = session.app.commands.on_record()  # what was given is kept from now on
    overview = session.installation.provider.overview()
    lacks_chosen = bool(overview.absent) and COMPONENTS in session.app.settings.options  # whoever chooses is told
    nothing_to_do = not session.applied and not lacks_chosen
    text = render_success(ended(session, nothing_to_do=nothing_to_do), overview, style, commands)
    return text if nothing_to_do else "\n" + text


def mend(session: Session, console: Console) -> RunResult:
    """Carry the remedies out, check again, and do so once more if that may help."""
    rounds = 0
    while True:
        rounds += 1
        result = session.run()
        if result.outcome is Outcome.INTERRUPTED or result.reason:  # cancelled, whatever had failed by then
            return result
        if result.outcome is Outcome.SUCCEEDED and not session.applied:
            return result  # all checks were satisfied a moment ago
        left = check_all(session.plan, session.app.clock)
        if result.outcome is Outcome.SUCCEEDED and all(item.satisfied for item in left.values()):
            return result
        if rounds == ROUNDS or not _worth_another_round(session, result, left):
            return _what_remains(console, result, left)


def _worth_another_round(session: Session, result: RunResult, left: Found) -> bool:
    """Whether anything may be healed that is not behind a step which failed for good."""
    if any(error.retryable for error in result.errors.values()):
        return True
    reachable = {
        step: found
        for step, found in left.items()
        if result.errors.keys().isdisjoint(needed.id for needed in session.plan.until(step))
    }
    return has_automatic_fix(reachable, may_lose_data=session.app.settings.allow_data_loss)


def _what_remains(console: Console, result: RunResult, left: Found) -> RunResult:
    """Show what is left, and return it as the steps' errors: those of the engine, which saw more, come first."""
    from contextcore_install.ui.checks import render_remedies

    remain = {step: still_wrong(found.problems) for step, found in left.items() if found.problems}
    console.say("\n" + render_remedies(left, console.style))
    errors: Mapping[str, InstallError] = {**remain, **result.errors}
    return RunResult(Outcome.FAILED, {step: errors[step] for step in left if step in errors})


@contextmanager
def _page_of_run(app: App, console: Console) -> Iterator[None]:
    """Within the block, serve the run's page if it was asked for, and open it. It never delays or fails the run."""
    if not app.settings.open:
        console.mention(f"Page  {app.commands.on_record()('dashboard', '--open')}")
        yield
        return
    from contextcore_install.runtime.page.feed import PageFeed
    from contextcore_install.system.page_server import PageServer, open_in_browser

    feed = PageFeed(app)
    try:
        server = PageServer(feed.respond)
    except InstallError as error:
        app.stderr.write(f"note: {error.message}\n")
        yield
        return
    opened = open_in_browser(server.invitation, app.environ)
    where = f"Page  {server.url}" + ("" if opened else "  (there is no browser to open here)")
    if app.json:
        app.stderr.write(where + "\n")
    console.say(where)
    try:
        yield
    finally:
        feed.end()
        server.close()
