"""The contact points: whom this user wants told, and telling them how a run ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind, second
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.state import COMPLETED
from contextcore_install.notify import messages
from contextcore_install.notify.contact_points import ENVIRONMENT, RESET_POLICY, provisioning, split_urls
from contextcore_install.notify.messages import Level, Message
from contextcore_install.runtime.app import App
from contextcore_install.storage.contact_file import ContactPoints, load_contact_points, save_contact_points
from contextcore_install.storage.state_file import load_state
from contextcore_install.ui.text import duration

if TYPE_CHECKING:
    from contextcore_install.notify.sending import Outbox
    from contextcore_install.runtime.session import Session

LIMIT_VARIABLE = "CONTEXTCORE_NOTIFY_SECONDS"
LIMIT_S = 5.0  # what sending may cost at the end of a run, in seconds, whatever the contact points do

_WORTH_BEING_READY = frozenset({Kind.STEP_FAILED, Kind.HEARTBEAT})
"""A failure is sent in any case; a run that lives long enough for a heartbeat can spare the time to import."""


def contact_urls(app: App) -> list[str]:
    """Return the URLs of the contact points, the environment's before those that were set; raises InstallError."""
    return split_urls(app.environ.get(ENVIRONMENT, "")) or list(load_contact_points(app.home.contact_points).urls)


def for_grafana(app: App) -> str:
    """Return the file that makes Grafana send alerts, or no longer; empty if there is no need.

    Those of the environment count for one invocation, and Grafana stays: it gets only those that were set.
    """
    try:
        points = load_contact_points(app.home.contact_points)
    except InstallError:
        return ""  # whoever sends messages reports what is wrong with it
    return provisioning(points.urls) or (RESET_POLICY if app.settings.cluster in points.withdrawn_from else "")


def replace_contact_points(app: App, urls: Sequence[str]) -> tuple[str, ...]:
    """Set contact points, or none; return from which clusters' Grafana next runs take theirs. Raises InstallError."""
    try:
        before = load_contact_points(app.home.contact_points)
        given = bool(provisioning(before.urls))
    except InstallError:
        before, given = ContactPoints(), True  # a file that cannot be used now may have been of use before
    if provisioning(urls):
        points = ContactPoints(tuple(urls))
    elif given:
        points = ContactPoints(tuple(urls), second(app.clock.now_us()), tuple(app.home.cluster_names()))
    else:
        points = replace(before, urls=tuple(urls))
    save_contact_points(app.home.contact_points, points)
    return points.withdrawn_from


def note_taken_back(app: App) -> bool:
    """Forget what an earlier run took from Grafana, whose policy is the user's now; return whether there was any."""
    path, cluster = app.home.contact_points, app.settings.cluster
    try:
        points = load_contact_points(path)
        if cluster not in points.withdrawn_from or not _installed_since(app, points.withdrawn_at):
            return False
        left = tuple(name for name in points.withdrawn_from if name != cluster)
        save_contact_points(path, replace(points, withdrawn_from=left))
    except (InstallError, ValueError):
        return False  # whoever needs the files reports what is wrong with them
    return True


def _installed_since(app: App, at: str) -> bool:
    stored = load_state(app.layout.state)
    if stored is None:
        return False
    run, steps = stored.state.run, stored.state.planned.values()
    complete = run.outcome == Outcome.SUCCEEDED and all(step.status == COMPLETED for step in steps)
    return complete and run.started_at > at


def without_contact_points(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment for programs that we start: whom to notify is secret, and not their business."""
    return {name: value for name, value in environ.items() if name != ENVIRONMENT}


def sending_limit_s(app: App) -> float:
    """Return how long sending may take, in seconds: 5 if the environment names no other number."""
    text = app.environ.get(LIMIT_VARIABLE, "")
    return min(600.0, float(text)) if text.isascii() and text.isdecimal() else LIMIT_S


class Notifier:
    """The messages of one invocation. Nothing that goes wrong here fails the run, or delays it by more than 5 s."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._took_over = ""
        self._outbox: Outbox | None = None
        self._troubles: list[str] = []

    def handle(self, event: Event) -> None:
        """Note the run that this one took over, and prepare for sending if there may be something to send."""
        if event.kind is Kind.RUN_STARTED:
            self._took_over = str(event.data.get("resumes", ""))
        elif event.kind in _WORTH_BEING_READY:
            self._open()

    def run_ended(self, session: Session, result: RunResult) -> None:
        self._send(lambda: messages.message_about(self._facts(session, result)))

    def run_refused(self, error: InstallError) -> None:
        """Send that a run could not begin or go on. A wrong command line, or another run at work, is no failure."""
        if error.exit_code is ExitCode.STATE_UNUSABLE:
            told = f"The run ({self._app.settings.command}) ended: {error.message}"
            lines = [told, *messages.what_to_do(self._typed(error))]
            self._send(lambda: messages.message(self._place(), "the run failed", lines))

    def verification_failed(self, provider: str, results: Mapping[str, CheckResult]) -> None:
        problems = [f"{step}: {problem.message}" for step, result in results.items() for problem in result.problems]
        self._tell(provider, "verify failed", ["Something is not as it should be:", *problems])

    def watch_healed(self, provider: str, problems: Iterable[str]) -> None:
        self._tell(provider, "healed by the watch", ["What was wrong:", *problems], Level.WARNING)

    def watch_gave_up(self, provider: str, error: InstallError, problems: Iterable[str]) -> None:
        lines = [f"{error.message}.", *problems, *messages.what_to_do(self._typed(error))]
        self._tell(provider, "the watch has given up", lines)

    def _tell(self, provider: str, what: str, lines: Iterable[str], level: Level = Level.FAILURE) -> None:
        self._send(lambda: messages.message(self._place(provider), what, lines, level))
        self.report_failures()

    def report_failures(self) -> None:
        """Wait until all is sent, 5 s at most, and say on standard error what did not arrive."""
        try:
            for receipt in self._outbox.receipts() if self._outbox else ():
                if receipt.reason:
                    self._troubles.append(f"{receipt.name} was not told: {receipt.reason}")
        except InstallError as error:
            self._note(error)
        for trouble in self._troubles:
            self._app.stderr.write(f"note: {trouble}\n")

    def _open(self) -> Outbox | None:
        """Return the way to the contact points; None if there are none, or if they cannot be used."""
        if self._outbox is None and not self._troubles:
            try:
                if urls := contact_urls(self._app):
                    from contextcore_install.notify.sending import Outbox

                    self._outbox = Outbox(urls)
            except InstallError as error:
                self._note(error)
        return self._outbox

    def _send(self, make: Callable[[], Message | None]) -> None:
        outbox = self._open()
        made = make() if outbox else None
        if outbox and made:
            hide = Redaction(home=self._app.environ.get("HOME", "") or os.path.expanduser("~")).text  # noqa: PTH111
            outbox.send(Message(hide(made.title), hide(made.body), made.level), sending_limit_s(self._app))

    def _note(self, error: InstallError) -> None:
        hint = f": {self._app.commands.typed(error.hint)}" if error.hint else ""
        self._troubles.append(f"no contact point was told, as {error.message}{hint}")

    def _facts(self, session: Session, result: RunResult) -> messages.RunFacts:
        from contextcore_install.runtime.console import recent_events

        return messages.RunFacts(
            place=self._place(session.state.provider),
            mode=session.mode,
            run_id=session.run_id,
            outcome=result.outcome,
            duration_s=session.took_s,
            took=duration(session.took_s),
            errors={step: self._typed(error) for step, error in result.errors.items()},
            took_over=self._took_over,
            failed_before=messages.failed_before(recent_events(self._app), session.run_id),
            next_command=self._app.commands("--resume"),
        )

    def _typed(self, error: InstallError) -> InstallError:
        return InstallError(error.code, error.message, hint=self._app.commands.typed(error.hint))

    def _place(self, provider: str = "") -> str:
        where = f" on {provider}" if provider else ""
        return f"{self._app.settings.cluster}{where} ({os.uname().nodename})"
