"""The engine: decides what happens next, and records it before anything acts on it.

All decisions and all recording happen in the thread that calls `Engine.run`. Steps work in other
threads and tell through a queue. In each turn the engine takes all that was told and records what
follows from it; the journal is synced, and only then a step is applied. Checks, which only read,
wait for no sync. A record that nothing waits for is synced a moment later, so that the outcome of a
step and the intent of the next share a sync where the check between them is quick.

Limits, pauses and durations count the time in which the program ran: the engine looks at its clock at every tick.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.failures import still_wrong, timed_out, unforeseen
from contextcore_install.core.findings import CheckResult
from contextcore_install.core.ports import Clock
from contextcore_install.core.suspend_aware_clock import SuspendAwareClock
from contextcore_install.engine.context import Context
from contextcore_install.engine.outcome import Limits, Outcome, RunResult
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Timers, Workers

HEARTBEAT_S = 15.0
"""How often a run says that it lives; the interval that dashboards and alerts build on."""


SAVE_WITHIN_S = 0.08
"""How far the state file may be behind the journal; the promise to readers is 100 ms."""

SYNC_WITHIN_S = 0.001
"""How long what was recorded may wait for company before it is synced, where nothing waits for it."""


class StepPhase(StrEnum):
    """What is being done for a step."""

    CHECK = "check"
    APPLY = "apply and check again"
    PAUSE = "pause"


@dataclass(slots=True, eq=False)
class Task:
    """A step that is under way."""

    step: Step
    token: CancelToken
    began: float
    time_limit: int = 0
    phase: StepPhase = StepPhase.CHECK
    attempt: int = 0
    failures: int = 0
    overdue: bool = False
    activity: str = ""


class Engine:
    """Runs a plan. One object serves one run; `uniform` draws from [0, 1) for the retries' jitter."""

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        clock: Clock,
        workers: Workers,
        uniform: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        self._plan = plan
        self._recorder = recorder
        self._clock = SuspendAwareClock(clock)
        self._workers = workers
        self._uniform = uniform
        self._limits = limits or Limits()
        self._sorter = plan.sorter()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._tasks: dict[str, Task] = {}
        self._timers = Timers(self._clock)
        self._after_sync: list[Callable[[], None]] = []
        self._errors: dict[str, InstallError] = {}
        self._stopping = ""
        self._saving = False
        self._sync_timer = 0

    def interrupt(self, reason: str) -> None:
        """End the run soon: work is told to end, the state stays resumable. Safe in a signal handler."""
        self._inbox.put(lambda: self._stop(reason))

    def notice(self, text: str) -> None:
        """Have something told that no step tells. Safe in any thread."""
        self._inbox.put(lambda: self._record_notice(text))

    def run(self) -> RunResult:
        """Carry the plan out and return what came of it."""
        self._timers.after(HEARTBEAT_S, self._heartbeat)
        self._timers.after(self._limits.tick_s, self._tick)
        if self._limits.overall_s < float("inf"):
            self._timers.after(self._limits.overall_s, self._overall_limit_reached)
        self._begin_ready_steps()
        self._finish_turn()
        try:
            while self._tasks:
                self._take_messages()
                self._timers.fire()
                self._finish_turn()
            self._sync()
        except BaseException:
            # Without a record nothing may go on: tell the work to end, whatever happens to this thread.
            for task in self._tasks.values():
                task.token.cancel("the record cannot be kept")
            raise
        return RunResult(self._outcome(), self._errors, self._stopping)

    # One turn of the loop

    def _take_messages(self) -> None:
        try:
            self._inbox.get(timeout=self._timers.next_in_s)()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            pass

    def _finish_turn(self) -> None:
        if self._recorder.state_is_behind and not self._saving:
            self._saving = True
            self._timers.after(SAVE_WITHIN_S, self._save_state)
        if self._after_sync:
            self._sync()
        elif self._recorder.is_unsynced and not self._sync_timer:
            self._sync_timer = self._timers.after(SYNC_WITHIN_S, self._sync)

    def _sync(self) -> None:
        """Make durable what was recorded, and let begin what waits for it."""
        self._timers.cancel(self._sync_timer)
        self._sync_timer = 0
        self._recorder.sync()
        actions, self._after_sync = self._after_sync, []
        for action in actions:
            action()

    def _outcome(self) -> Outcome:
        if self._errors:
            return Outcome.FAILED
        return Outcome.INTERRUPTED if self._stopping else Outcome.SUCCEEDED

    # A step's way through its phases

    def _begin_ready_steps(self) -> None:
        if self._stopping:
            return
        for step_id in self._sorter.get_ready():
            task = Task(self._plan[step_id], CancelToken(), self._clock.monotonic())
            self._tasks[step_id] = task
            task.time_limit = self._timers.after(task.step.timeout_s, partial(self._step_limit_reached, task))
            self._begin(task)

    def _begin(self, task: Task) -> None:
        self._recorder.record(Kind.STEP_CHECKING, task.step.id)
        self._check(task)

    def _check(self, task: Task) -> None:
        """Have the step checked. A check only reads: it need not wait until the record is durable."""
        task.phase = StepPhase.CHECK
        self._workers.submit(lambda: self._work(task, StepPhase.CHECK))

    def _apply_after_sync(self, task: Task) -> None:
        """Have the step applied once this turn's record, the intent, is durable."""
        task.phase = StepPhase.APPLY
        self._after_sync.append(lambda: self._workers.submit(lambda: self._work(task, StepPhase.APPLY)))

    def _work(self, task: Task, phase: StepPhase) -> None:
        """Run in a worker: do the phase's work, and tell the engine how it went."""
        result: CheckResult | InstallError | CancelledError
        try:
            task.token.raise_if_cancelled()
            if phase is StepPhase.APPLY:
                self._act(task)
            result = self._judge(task)
        except (InstallError, CancelledError) as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a bug in one step must not take the record of the others with it
            result = unforeseen(task.step.id, error)
        self._inbox.put(lambda: self._phase_ended(task, phase, result))

    def _act(self, task: Task) -> None:
        task.step.apply(self._context(task, applies=True))

    def _judge(self, task: Task) -> CheckResult:
        return task.step.check(self._context(task))

    def _context(self, task: Task, *, applies: bool = False) -> Context:
        deadline = task.began + task.step.timeout_s
        return Context(task.step.id, task.token, self._tell, self._clock, deadline, self._inbox.put, applies=applies)

    def _tell(self, kind: Kind, step_id: str, data: dict[str, Any]) -> None:
        """Run in a worker: hand an event to the engine's thread."""
        self._inbox.put(lambda: self._told(kind, step_id, data))

    def _told(self, kind: Kind, step_id: str, data: dict[str, Any]) -> None:
        task = self._tasks.get(step_id)
        if task is None:
            return  # given up before
        if kind is Kind.ACTIVITY:
            task.activity = data["text"]
        self._recorder.record(kind, step_id, **data)

    def _phase_ended(self, task: Task, phase: StepPhase, result: CheckResult | InstallError | CancelledError) -> None:
        if self._tasks.get(task.step.id) is not task:
            return  # given up before
        if isinstance(result, CancelledError) or (task.token.cancelled and isinstance(result, InstallError)):
            self._cancelled(task)
        elif isinstance(result, InstallError):
            self._failed(task, result)
        else:
            self._checked(task, phase, result)

    def _checked(self, task: Task, phase: StepPhase, result: CheckResult) -> None:
        for finding in result.findings:
            if finding.warning or phase is StepPhase.CHECK:
                self._recorder.record(Kind.FINDING, task.step.id, **finding.as_document())
        if result.satisfied:
            self._complete(task, already=phase is StepPhase.CHECK, summary=result.summary)
        elif phase is StepPhase.CHECK:
            self._start_attempt(task)
        else:
            self._failed(task, still_wrong(result.problems))

    def _start_attempt(self, task: Task) -> None:
        if task.token.cancelled:
            self._cancelled(task)
            return
        task.attempt += 1
        self._record_attempt(task)
        self._apply_after_sync(task)

    def _record_attempt(self, task: Task) -> None:
        self._recorder.record(Kind.STEP_STARTED, task.step.id, attempt=task.attempt)

    def _failed(self, task: Task, error: InstallError) -> None:
        """Try again after a pause, where the policy and the time that is left allow it."""
        task.failures += 1
        policy = task.step.retry
        delay = policy.delay(task.failures, self._uniform)
        in_time = task.began + task.step.timeout_s - self._clock.monotonic() > delay
        if task.token.cancelled or not in_time or not policy.allows_another(task.failures, retryable=error.retryable):
            self._fail(task, error)
            return
        task.phase = StepPhase.PAUSE
        self._recorder.record(
            Kind.STEP_RETRYING, task.step.id, delay_seconds=round(delay, 3), error=error.as_document()
        )
        self._timers.after(delay, lambda: self._pause_ended(task))

    def _pause_ended(self, task: Task) -> None:
        if self._tasks.get(task.step.id) is not task or task.phase is not StepPhase.PAUSE:
            return
        if task.attempt:
            self._start_attempt(task)
        else:
            self._check(task)

    def _complete(self, task: Task, *, already: bool, summary: str) -> None:
        self._record_success(task, already=already, summary=summary)
        self._end_task(task)
        self._sorter.done(task.step.id)
        self._begin_ready_steps()

    def _record_success(self, task: Task, *, already: bool, summary: str) -> None:
        data: dict[str, Any] = {"duration_seconds": self._elapsed(task), "summary": summary}
        if already:
            data["already"] = True
        self._recorder.record(Kind.STEP_COMPLETED, task.step.id, **data)

    def _fail(self, task: Task, error: InstallError) -> None:
        self._errors[task.step.id] = error
        self._recorder.record(
            Kind.STEP_FAILED, task.step.id, error=error.as_document(), duration_seconds=self._elapsed(task)
        )
        self._end_task(task)

    def _cancelled(self, task: Task) -> None:
        if task.overdue:
            self._fail(task, timed_out(task.step.title, task.activity))
        else:
            self._end_task(task)  # its status stays as it is: resuming carries on from here

    def _end_task(self, task: Task) -> None:
        self._timers.cancel(task.time_limit)
        del self._tasks[task.step.id]

    def _elapsed(self, task: Task) -> float:
        return round(self._clock.monotonic() - task.began, 3)

    # Time and interruption

    def _save_state(self) -> None:
        self._saving = False
        self._recorder.save_state()

    def _record_notice(self, text: str) -> None:
        self._recorder.record(Kind.NOTICE, text=text)

    def _heartbeat(self) -> None:
        self._recorder.record(Kind.HEARTBEAT)
        self._timers.after(HEARTBEAT_S, self._heartbeat)

    def _tick(self) -> None:
        self._recorder.record(Kind.TICK, running=list(self._tasks))
        self._timers.after(self._limits.tick_s, self._tick)

    def _step_limit_reached(self, task: Task) -> None:
        if self._tasks.get(task.step.id) is task:
            task.overdue = True
            self._end(task, "time limit")

    def _overall_limit_reached(self) -> None:
        for task in self._tasks.values():
            task.overdue = True
        self._stop("time limit")

    def _stop(self, reason: str) -> None:
        if self._stopping:
            return
        self._stopping = reason
        self._record_notice(f"ending: {reason}")
        for task in list(self._tasks.values()):
            self._end(task, reason)

    def _end(self, task: Task, reason: str) -> None:
        """Tell a step's work to end, and do without it if it does not."""
        task.token.cancel(reason)
        if task.phase is StepPhase.PAUSE:
            self._cancelled(task)
        else:
            self._timers.after(self._limits.grace_s, lambda: self._give_up_on(task))

    def _give_up_on(self, task: Task) -> None:
        if self._tasks.get(task.step.id) is task:
            self._workers.forget_one()
            self._cancelled(task)
