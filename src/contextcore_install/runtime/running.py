"""Carrying a plan out, from the lock to the last line on the screen."""

from __future__ import annotations

from collections.abc import Callable

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.state import COMPLETED
from contextcore_install.runtime.app import App
from contextcore_install.runtime.bundle.failure_bundle import bundle_of_failure
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.contacts import note_taken_back
from contextcore_install.runtime.notifier import Notifier
from contextcore_install.runtime.page.run_page import page_of_run
from contextcore_install.runtime.selection import is_bound
from contextcore_install.runtime.session import Session
from contextcore_install.runtime.wiring import open_session
from contextcore_install.storage.lock import Lock
from contextcore_install.system.signals import ending_signals
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.console.summary import Ended, render_failure, render_interrupted, render_success

TELEMETRY_PATIENCE_S = 2.0
"""What a metrics store that does not answer may cost at the end of a run."""


RunEngine = Callable[[Engine], RunResult]
Work = Callable[[Session, Console, RunEngine], RunResult]
Words = Callable[[Session, Console, RunResult], str | None]
"""What to say at the end of a run; None where the usual words fit."""


class Applied:
    """A projection that notes whether anything had to be done."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def handle(self, event: Event) -> None:
        """Take note of a step that is applied."""
        if event.kind is Kind.STEP_STARTED:
            self.steps.append(event.step)


class StopHandler:
    """How a run is told to end: through its engine while one runs, else by KeyboardInterrupt, until its work is over.

    `told` is called whenever that is, from a signal handler.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._reason = ""
        self._over = False
        self._engine: Engine | None = None

    def run(self, engine: Engine) -> RunResult:
        """Run an engine; raises KeyboardInterrupt where the run is to end already."""
        if self._reason:  # it came when the engine before this one heard nothing any more
            raise KeyboardInterrupt
        self._engine = engine
        try:
            return engine.run()
        finally:
            self._engine = None

    def ask(self, reason: str) -> None:
        """Have the run end; raises KeyboardInterrupt where no engine runs that could."""
        self._reason = reason
        self._told()
        if self._engine:
            self._engine.interrupt(reason)
        elif not self._over:
            raise KeyboardInterrupt

    def result_of(self, work: Callable[[], RunResult]) -> RunResult:
        """Do the work; an interruption where no engine runs ends it as one of an engine does."""
        try:
            result = work()
            self._over = True
        except KeyboardInterrupt:
            return RunResult(Outcome.INTERRUPTED, reason=self._reason)
        return result


def carry_out(
    app: App,
    work: Work,
    *,
    lock: Lock | None = None,
    words: Words = lambda *_: None,
    told_to_end: Callable[[], None] = lambda: None,
) -> int:
    """Open a session, do the work in it, record how it ended, and tell the user; return the exit code.

    `work` gets the session, the console, and a function that runs an engine under the eyes of both. The contact
    points are told last, when the lock is free and the user knows already. A `lock` that is held is taken over.
    `told_to_end` is called from the handler of a signal, which may come too late to end anything but the caller.
    """
    news = Notifier(app)
    note_taken_back(app)
    try:
        return _carry_out(app, work, news, lock, words, StopHandler(told_to_end))
    except InstallError as error:
        news.run_refused(error)
        raise
    finally:
        news.tell_failures()


def _carry_out(app: App, work: Work, news: Notifier, lock: Lock | None, words: Words, ending: StopHandler) -> int:
    console, applied = Console(app), Applied()

    def run(engine: Engine) -> RunResult:
        console.start()
        return ending.run(engine)

    def at_once() -> None:
        kill_all_children()
        console.abandon()

    mode = app.settings.command
    with open_session(app, mode, lambda *about: [applied, news, *console.show(*about)], lock) as session:
        with ending_signals(ending.ask, at_once), page_of_run(app, console.say, console.mention):
            if app.settings.tutorial:
                session.recorder.attach(console.teach(session.plan))
            session.shipper.start()
            try:
                result = ending.result_of(lambda: work(session, console, run))
                code = exit_code(result, session.lost)
                session.finish(result, code)
                news.run_ended(session, result)
                session.shipper.close(TELEMETRY_PATIENCE_S)
            finally:
                console.stop()
        session.raise_if_lost()
        bundle = bundle_of_failure(session, result)
        own_words = words(session, console, result)
        if result.outcome is Outcome.SUCCEEDED and not own_words:
            # Else what failed, or was taken away, is the news, and no wonder that the store is silent.
            for text in session.late_reports:
                app.stderr.write(f"note: {text}\n")
        console.say(own_words or _last_words(session, console, result, applied, bundle))
        if bundle and app.json:
            app.stderr.write(f"note: what helps to find out what is wrong is in {bundle}\n")
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


def _last_words(session: Session, console: Console, result: RunResult, applied: Applied, bundle: str) -> str:
    state = session.records.state
    ended = Ended(
        state.cluster_name,
        state.provider,
        session.app.clock.monotonic() - session.began,
        nothing_to_do=not applied.steps,
        waited=not session.app.settings.skip_wait,
    )
    if result.outcome is Outcome.FAILED:
        logs = {step: str(session.log(step)) for step in result.errors if session.log(step).exists()}
        commands = session.app.commands_of_run
        ways = []
        if state.provider == "kind" and "preflight" in result.errors and not is_bound(state):
            ways = [(commands("--provider", "host"), "installs without a container engine")]
        return "\n" + render_failure(ended, result.errors, console.style, commands, logs, ways, bundle)
    if result.outcome is Outcome.INTERRUPTED:
        done = [step for step, known in state.steps.items() if known.status == COMPLETED]
        return "\n" + render_interrupted(
            ended, done, len(state.steps), console.style, session.app.commands_of_run, result.reason
        )
    commands = session.app.commands.on_record()  # what was given is kept from now on
    start = "" if ended.nothing_to_do else "\n"
    return start + render_success(ended, session.provider.overview(), console.style, commands)
