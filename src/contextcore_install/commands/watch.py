"""watch: stays, looks on a schedule and when something changes, and heals within a budget; gives up loudly."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from contextcore_install.commands.repair import mend
from contextcore_install.commands.watch_words import WatchWords
from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError, ExitCode, InstallError, usage_error
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.hints import REPAIR, own
from contextcore_install.engine.context import Context
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.retry import RepairBudget
from contextcore_install.engine.state import PENDING, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.cancellable import take_lock
from contextcore_install.runtime.check_all import survey
from contextcore_install.runtime.console import Console, recent_events
from contextcore_install.runtime.notifier import Notifier
from contextcore_install.runtime.remedies import curable
from contextcore_install.runtime.require_installation import require_known
from contextcore_install.runtime.running import RunEngine, carry_out
from contextcore_install.runtime.selection import Stack, read_stack
from contextcore_install.runtime.session import Session
from contextcore_install.runtime.wiring import open_records
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.replica.lease import ELSEWHERE
from contextcore_install.storage.store import read_records
from contextcore_install.system.lock import owner_of
from contextcore_install.system.signals import ending_signals
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.text import duration

WATCHED_UNTIL = "services_verify"
"""The last step that is looked at: whether the store shows everything is no reason to restart anything."""

NOT_BY_ITSELF = frozenset({"cluster-absent"})
"""What is gone as a whole was taken away by somebody; to make it anew without its data is for people to decide."""

CONFIRM_S = 3.0
"""What heals by itself within so many seconds needs no remedy: a pod that is being replaced, say."""
LOOK_S = 2.0
"""How often a provider that cannot be told of changes is asked, at most."""
BUSY_S = 5.0
"""How soon to look again while another run is at work."""
NOTE_S = 240.0
"""How often a look is noted where nothing changes: queries look back five minutes by themselves."""


class _Word(Enum):
    CHANGED = "something changed"
    END = "it is to end"


def run(app: App) -> int:
    """Watch until told to end, or have a service do so."""
    arguments = app.settings.arguments
    if arguments["install"] and arguments["uninstall"]:
        raise usage_error("--install cannot be combined with --uninstall: choose one of them")
    if not arguments["uninstall"]:
        require_known(app, "watch")
    if arguments["install"] or arguments["uninstall"]:
        from contextcore_install.commands.watch_service import install, uninstall

        return install(app) if arguments["install"] else uninstall(app)
    return Watch(app, RepairBudget(most=arguments["budget"]), arguments["every"]).run()


@dataclass(slots=True)
class Watch:
    """One watch: `every_s` seconds at most lie between two looks."""

    app: App
    budget: RepairBudget
    every_s: float
    _words: WatchWords = field(init=False)
    _inbox: queue.SimpleQueue[_Word] = field(default_factory=queue.SimpleQueue, init=False)
    _ended: bool = field(default=False, init=False)
    _stack: tuple[dict[str, Any], Stack] | None = field(default=None, init=False)
    _noted_at: float = field(default=float("-inf"), init=False)
    _problems: int = field(default=-1, init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._words = WatchWords(self.app)
        self._began = self.app.clock.now_us() / 1e6

    def run(self) -> int:
        """Watch; return the exit code. Raises InstallError when the budget is spent, or nothing is left to watch."""
        state = self._state()
        self._words.begins(self._stack_of(state).provider_name, self.every_s, self.budget.most)
        ending = ending_signals(lambda _: self._end(), _end_at_once, exits_next=lambda: self._ended)
        with ending, self._following(state):
            while not self._ended:
                result = self._turn()
                if result is not None:
                    return result
        self._words.ends()
        return ExitCode.DONE

    def _end(self) -> None:
        self._ended = True
        self._inbox.put(_Word.END)

    def _turn(self) -> int | None:
        """Look once, and do what follows from it; return an exit code where a remedy was interrupted."""
        state = self._state()
        if owner_of(self.app.layout.lock):
            self._words.say("busy", "another run is at work; waiting until it has ended")
            self._rest(min(BUSY_S, self.every_s))
            return None
        if not _is_installed(state):
            self._words.say("not installed", "it is not installed as a whole, or taken back: nothing is healed")
            self._rest(self.every_s)
            return None
        found = self._look(state)
        if problems := _problems(found):
            return self._unwell(state, found, problems)
        self._words.say("well", "everything is as it should be")
        self._note_look(problems)
        self._rest(self.every_s)
        return None

    def _unwell(self, state: State, found: dict[str, CheckResult], problems: list[Finding]) -> int | None:
        if not _healable(found):
            self._words.say("for people", f"not for a watch to heal: {_sentence(problems)}")
            self._note_look(problems)
            self._rest(self.every_s)
            return None
        self._rest(CONFIRM_S)
        found = {} if self._ended else self._look(state)
        if self._ended or not (problems := _problems(found)) or not _healable(found):
            return None
        self._note_look(problems)
        now = self.app.clock.now_us() / 1e6
        remedies = self._remedies()
        if self.budget.exhausted(remedies, now):
            self._give_up(problems)
        if pause := self.budget.pause_s(remedies, now):
            self._words.say("pause", f"{_sentence(problems)} The next remedy begins in {duration(pause)}.")
            self._rest(pause)
            return None
        return self._heal(problems)

    # Looking

    def _state(self) -> State:
        """Return the state; raises InstallError where there is no installation."""
        name = self.app.settings.cluster
        state = read_records(self.app.layout, name).state if self.app.layout.exists else State(name)
        if not state.exists:
            raise InstallError("not-installed", f"there is no installation {name} to watch", hint=own())
        return state

    def _stack_of(self, state: State) -> Stack:
        """Return the stack; one for the whole watch, unless the installation's settings change."""
        if self._stack is None or self._stack[0] != state.settings:
            self._stack = (dict(state.settings), read_stack(self.app, state))
        return self._stack[1]

    def _look(self, state: State) -> dict[str, CheckResult]:
        stack = self._stack_of(state)
        return survey(stack.plan(stack.shipper(lambda _: None)).until(WATCHED_UNTIL), self.app.clock)

    def _rest(self, seconds: float) -> None:
        """Wait, at most so long: a change or the end is told. What was told twice is one look."""
        with suppress(queue.Empty):
            self._inbox.get(timeout=max(0.0, seconds))
            while True:
                self._inbox.get_nowait()

    @contextmanager
    def _following(self, state: State) -> Iterator[None]:
        """Within the block, have changes told that the provider tells of."""
        token = CancelToken()
        context = _Unhurried("", token, lambda *_: None, self.app.clock, float("inf"))
        provider = read_stack(self.app, state).provider  # one of its own: it is used in another thread

        def follow() -> None:
            while not token.cancelled:
                with suppress(CancelledError):
                    try:
                        for workloads in provider.watch_workloads(context):
                            if not all(workload.ready for workload in workloads):
                                self._inbox.put(_Word.CHANGED)
                    except InstallError:
                        token.wait(self.every_s)  # the schedule finds out why

        threading.Thread(target=follow, name="changes", daemon=True).start()
        try:
            yield
        finally:
            token.cancel("the watch ends")

    # Acting, and telling

    def _heal(self, problems: list[Finding]) -> int | None:
        try:
            lock = take_lock(self.app)
        except InstallError as error:
            if error.code != "locked":
                raise
            self._rest(BUSY_S)
            return None
        state = self._state_under(lock)
        if not _is_installed(state):
            lock.release()
            return None
        self._words.say("heals", f"healing: {_sentence(problems)}")
        results: list[RunResult] = []

        def work(session: Session, console: Console, run_engine: RunEngine) -> RunResult:
            if self._ended:
                return RunResult(Outcome.INTERRUPTED, reason="the watch was told to end")
            result = mend(self.app, session, console, run_engine)
            results.append(result)
            told = [problem.message for problem in problems]
            session.recorder.record(Kind.WATCH_REMEDIED, outcome=result.outcome.value, problems=told)
            return result

        try:
            words, told = self._words.of_remedy, self._end
            code = carry_out(self.app, work, lock=lock, words=words, told_to_end=told)
        except InstallError as error:
            if error.code != ELSEWHERE:
                raise
            self._words.say("busy", f"{error.message}; waiting until it has ended")
            self._rest(self.every_s)
            return None
        if not results or results[0].outcome is Outcome.INTERRUPTED:
            return code
        if results[0].outcome is Outcome.SUCCEEDED:
            news = Notifier(self.app)
            news.watch_healed(state.provider, [problem.message for problem in problems])
            news.tell_failures()
        return None

    def _state_under(self, lock: Lock) -> State:
        """Return the state as it is now that nobody else can change it; lets go of the lock where there is none."""
        try:
            return self._state()
        except InstallError:
            lock.release()
            raise

    def _remedies(self) -> list[float]:
        """Return when the remedies that count ended, in seconds since 1970.

        All of this watch count, as what breaks again and again is not well. Of earlier watches those that failed count:
        what they healed was healed, and a new watch is to try for itself.
        """
        return [
            event.at_us / 1e6
            for event in recent_events(self.app)
            if event.kind is Kind.WATCH_REMEDIED
            and (event.at_us / 1e6 >= self._began or event.data.get("outcome") != Outcome.SUCCEEDED.value)
        ]

    def _spent(self) -> str:
        most = self.budget.most
        return f"{most} {'remedy' if most == 1 else 'remedies'} in an hour"

    def _note_look(self, problems: list[Finding]) -> None:
        """Have it noted that a watch lives and what it saw: when that changes, and every few minutes."""
        now = self.app.clock.monotonic()
        if len(problems) == self._problems and now - self._noted_at < NOTE_S:
            return
        if self._record(Kind.WATCH_LOOKED, problems=[problem.message for problem in problems]):
            self._noted_at, self._problems = now, len(problems)

    def _record(self, kind: Kind, **data: Any) -> bool:
        """Record an event outside of a run; not while another run is at work, which can wait for nothing of ours."""
        try:
            with open_records(self.app, used=False) as (_, recorder, _shipper):
                recorder.record(kind, **data)
                recorder.sync()
        except InstallError as error:
            if error.code != "locked":
                raise
            return False
        return True

    def _give_up(self, problems: list[Finding]) -> None:
        """Tell everybody that healing does not help; raises the InstallError that ends the watch."""
        state = self._state()
        self._record(Kind.WATCH_GAVE_UP, problems=[problem.message for problem in problems])
        error = InstallError(
            "watch-gave-up",
            f"{self._spent()} did not keep {state.cluster_name} well: the watch gives up",
            "\n".join(problem.message for problem in problems),
            REPAIR,
        )
        news = Notifier(self.app)
        news.watch_gave_up(state.provider, error, error.evidence.splitlines())
        news.tell_failures()
        raise error


class _Unhurried(Context):
    """A context that waits longer than it is asked to: a watch has time, and laptops have batteries."""

    def wait(self, seconds: float) -> None:
        """Pause for at least `LOOK_S` seconds."""
        super().wait(max(seconds, LOOK_S))


def _end_at_once() -> None:
    """End the process as well as the first signal would have: nothing is under way that could be left half done."""
    kill_all_children()
    os._exit(ExitCode.DONE)


def _is_installed(state: State) -> bool:
    """Whether all that is watched was put in place and not taken back: what a watch may heal."""
    steps = list(state.steps)
    watched = steps[: steps.index(WATCHED_UNTIL) + 1] if WATCHED_UNTIL in steps else steps
    return all(state.step(step).status != PENDING for step in watched)


def _sentence(problems: list[Finding]) -> str:
    """Return what the first problem says as one whole sentence."""
    return problems[0].message.rstrip(". ") + "."


def _problems(found: dict[str, CheckResult]) -> list[Finding]:
    return [problem for result in found.values() for problem in result.problems]


def _healable(found: dict[str, CheckResult]) -> bool:
    codes = {problem.code for problem in _problems(found)}
    return not codes & NOT_BY_ITSELF and curable(found, may_lose_data=False)
