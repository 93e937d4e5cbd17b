"""Watching an installation: checked on a schedule and when something changes, and healed within a budget."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from contextcore_install.core.errors import REPAIR, CancelledError, ExitCode, InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.core.text import ascii_json, count
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.plan import RepairBudget
from contextcore_install.engine.state import PENDING, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.checks import Found, has_automatic_fix
from contextcore_install.runtime.console import Console, recent_events
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.notifier import Notifier
from contextcore_install.runtime.records import open_records, take_lock
from contextcore_install.runtime.running import carry_out, mend
from contextcore_install.runtime.session import Prepared, Session
from contextcore_install.runtime.watch_service import watched_state
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.replica.lease import ELSEWHERE
from contextcore_install.system.lock import owner_of
from contextcore_install.system.signals import ending_signals
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.text import duration, sanitize, time_of_day

WATCHED_UNTIL = "services_verify"
"""The last step that is looked at: whether the store shows everything is no reason to restart anything."""

NOT_BY_ITSELF = frozenset({"cluster-absent"})
"""What is gone as a whole was taken away by somebody; to make it anew without its data is for people to decide."""

CONFIRM_S = 3.0  # what heals by itself within so many seconds needs no remedy: a pod that is being replaced, say
LOOK_S = 2.0  # how often a provider that reports no changes is asked, at most
BUSY_S = 5.0  # how soon to look again while another run is at work
NOTE_S = 240.0  # how often an unchanged look is recorded: queries look back five minutes by themselves
WATCH_SCHEMA = "contextcore-install/watch/v1"


class Watch:
    """One watch: `every_s` seconds at most lie between two looks."""

    def __init__(self, app: App, budget: RepairBudget, every_s: float) -> None:
        self.app, self.budget, self.every_s = app, budget, every_s
        self._log = WatchLog(app)
        self._wake = queue.SimpleQueue[None]()  # a signal handler may put something in at any moment
        self._ended = False
        self._most = count(budget.most, "remedy")
        self._installation: Installation | None = None

    def run(self) -> int:
        """Watch; return the exit code. Raises InstallError when the budget is spent, or nothing is left to watch."""
        state = watched_state(self.app)
        place = f"{self.app.settings.cluster} on {self._resolved(state).selection.provider}"
        how = f"a check every {duration(self.every_s)} and at changes, at most {self._most} an hour"
        self._log.report("begins", f"watching {place}: {how}; times are UTC; Ctrl-C ends it")
        ending = ending_signals(lambda _: self._end(), _end_at_once, exits_next=lambda: self._ended)
        with ending, self._following(state):
            while not self._ended:
                result = self._turn()
                if result is not None:
                    return result
        self._log.report("ends", "the watch has ended; nothing was under way")
        return ExitCode.DONE

    def _end(self) -> None:
        self._ended = True
        self._wake.put(None)

    def _turn(self) -> int | None:
        """Look once, and do what follows from it; return an exit code if a remedy was interrupted."""
        state = watched_state(self.app)
        if owner_of(self.app.layout.lock):
            self._wait("busy", "another run is at work; waiting until it has ended", min(BUSY_S, self.every_s))
        elif not _is_installed(state):
            why = "it is not installed completely, or rolled back: nothing is repaired"
            self._wait("not installed", why, self.every_s)
        elif not (problems := _problems(found := self._look(state))):
            self._log.note_look(problems)
            self._wait("well", "everything is as it should be", self.every_s)
        elif not _is_healable(found):
            self._log.note_look(problems)
            self._wait("for people", f"not for a watch to heal: {_sentence(problems)}", self.every_s)
        else:
            return self._confirm_and_heal(state)
        return None

    def _confirm_and_heal(self, state: State) -> int | None:
        self._rest(CONFIRM_S)
        found = {} if self._ended else self._look(state)
        if self._ended or not (problems := _problems(found)) or not _is_healable(found):
            return None
        self._log.note_look(problems)
        now, remedies = self.app.clock.now_us() / 1e6, self._log.remedies()
        if self.budget.exhausted(remedies, now):
            self._give_up(problems)
        if pause := self.budget.pause_s(remedies, now):
            self._wait("pause", f"{_sentence(problems)} The next remedy begins in {duration(pause)}.", pause)
            return None
        return self._heal(problems)

    def _resolved(self, state: State) -> Installation:
        """Return the installation; one for the whole watch, unless it changes."""
        if self._installation is None or not self._installation.is_of(state):
            self._installation = resolve(self.app, state)
        return self._installation

    def _look(self, state: State) -> Found:
        return self._resolved(state).check(lambda _: None, until=WATCHED_UNTIL)

    def _wait(self, word: str, text: str, seconds: float) -> None:
        self._log.report(word, text)
        self._rest(seconds)

    def _rest(self, seconds: float) -> None:
        """Wait, at most so long: until a change or the end comes. What comes twice is one look."""
        with suppress(queue.Empty):
            self._wake.get(timeout=max(0.0, seconds))
            while True:
                self._wake.get_nowait()

    @contextmanager
    def _following(self, state: State) -> Iterator[None]:
        """Within the block, look at once when the provider reports a change."""
        token = CancelToken()
        context = _Unhurried("", token, lambda *_: None, self.app.clock, float("inf"))
        provider = resolve(self.app, state).provider  # one of its own: it is used in another thread

        def follow() -> None:
            while not token.cancelled:
                with suppress(CancelledError):
                    try:
                        for workloads in provider.watch_workloads(context):
                            if not all(workload.ready for workload in workloads):
                                self._wake.put(None)
                    except InstallError:
                        token.wait(self.every_s)  # the schedule finds out why

        threading.Thread(target=follow, name="changes", daemon=True).start()
        try:
            yield
        finally:
            token.cancel("the watch ends")

    # Acting, and recording

    def _heal(self, problems: list[str]) -> int | None:
        lock = self._take_over()
        if lock is None:
            return None
        self._log.report("heals", f"healing: {_sentence(problems)}")
        results: list[RunResult] = []

        def work(session: Session, console: Console) -> RunResult:
            if self._ended:
                return RunResult(Outcome.INTERRUPTED, reason="the watch was told to end")
            results.append(mend(session, console))
            session.recorder.record(Kind.WATCH_REMEDIED, outcome=results[0].outcome.value, problems=problems)
            return results[0]

        try:  # without our installation: one that was worked on before does nothing twice for the same cause
            code = carry_out(self.app, work, Prepared(lock), words=self._log.healed, stopping=self._end)
        except InstallError as error:
            if error.code != ELSEWHERE:
                raise
            self._wait("busy", f"{error.message}; waiting until it has ended", self.every_s)
            return None
        if not results or results[0].outcome is Outcome.INTERRUPTED:
            return code
        if results[0].outcome is Outcome.SUCCEEDED:
            Notifier(self.app).watch_healed(watched_state(self.app).provider, problems)
        return None

    def _take_over(self) -> Lock | None:
        """Return the lock; None if another run is at work, or nothing is to be healed any more."""
        try:
            lock = take_lock(self.app)
        except InstallError as error:
            if error.code != "locked":
                raise
            self._rest(BUSY_S)
            return None
        with ExitStack() as stack:
            stack.enter_context(lock)
            if not _is_installed(watched_state(self.app)):
                return None
            stack.pop_all()
        return lock

    def _give_up(self, problems: list[str]) -> None:
        """Tell everybody that healing does not help; raises the InstallError that ends the watch."""
        state = watched_state(self.app)
        self._log.record(Kind.WATCH_GAVE_UP, problems=problems)
        text = f"{self._most} in an hour did not keep {state.cluster_name} well: the watch gives up"
        error = InstallError("watch-gave-up", text, "\n".join(problems), REPAIR)
        Notifier(self.app).watch_gave_up(state.provider, error, problems)
        raise error


class _Unhurried(Context):
    """A context that waits longer than it is asked to: a watch has time, and laptops have batteries."""

    def wait(self, seconds: float) -> None:
        super().wait(max(seconds, LOOK_S))


def _end_at_once() -> None:
    kill_all_children()
    os._exit(ExitCode.DONE)  # as after the first signal: nothing is under way that could be left half done


def _is_installed(state: State) -> bool:
    """Whether all that is watched was installed and not rolled back: what a watch may repair."""
    steps = list(state.steps)
    watched = steps[: steps.index(WATCHED_UNTIL) + 1] if WATCHED_UNTIL in steps else steps
    return all(state.step(step).status != PENDING for step in watched)


def _sentence(problems: list[str]) -> str:
    """Return what the first problem says as one whole sentence."""
    return problems[0].rstrip(". ") + "."


def _problems(found: Found) -> list[str]:
    return [problem.message for result in found.values() for problem in result.problems]


def _is_healable(found: Found) -> bool:
    codes = {problem.code for result in found.values() for problem in result.problems}
    return not codes & NOT_BY_ITSELF and has_automatic_fix(found, may_lose_data=False)


class WatchLog:
    """Reports each thing once, until there is something else to report, and records what the watch found and did."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last = ""
        self._noted_at, self._problems = float("-inf"), -1
        self._began = app.clock.now_us() / 1e6

    def healed(self, session: Session, _: Console, result: RunResult) -> str | None:
        """Return a remedy's last words: short if it helped."""
        if result.outcome is not Outcome.SUCCEEDED:
            return None
        self._last = ""
        return f"{time_of_day(self._app.clock.now_us())}  healed ({duration(session.took_s)})"

    def report(self, state: str, text: str) -> None:
        """Report something, if it was not reported last. `state` is a word for scripts."""
        if text == self._last:
            return
        self._last, now_us, cluster = text, self._app.clock.now_us(), self._app.settings.cluster
        line = f"{time_of_day(now_us)}  {sanitize(text)}"
        if self._app.json:
            document = {"schema": WATCH_SCHEMA, "at": instant(now_us), "cluster": cluster, "state": state}
            line = ascii_json(document | {"message": text})
        self._app.stdout.write(line + "\n")
        self._app.stdout.flush()

    def remedies(self) -> list[float]:
        """Return when remedies ended, in seconds since 1970: all of this watch, and those of others that failed."""
        remedies = (event for event in recent_events(self._app) if event.kind is Kind.WATCH_REMEDIED)
        ended = ((event.at_us / 1e6, event.data.get("outcome")) for event in remedies)
        return [at for at, outcome in ended if at >= self._began or outcome != Outcome.SUCCEEDED.value]

    def note_look(self, problems: list[str]) -> None:
        """Record that a watch lives and what it saw: when that changes, and every few minutes."""
        now = self._app.clock.monotonic()
        if len(problems) == self._problems and now - self._noted_at < NOTE_S:
            return
        if self.record(Kind.WATCH_LOOKED, problems=problems):
            self._noted_at, self._problems = now, len(problems)

    def record(self, kind: Kind, **data: Any) -> bool:
        """Record an event outside of a run; not while another run is at work, which can wait for nothing of ours."""
        try:
            with open_records(self._app, used=False) as (_, recorder, _shipper):
                recorder.record(kind, **data)
                recorder.sync()
        except InstallError as error:
            if error.code != "locked":
                raise
            return False
        return True
