"""The engine: decides what happens next, and records it before anything acts on it.

All decisions and all recording happen in the thread that calls `Engine.run`; steps work in other threads and report
through a queue. In each turn the engine takes all reports and records what follows from them; the journal is synced,
and only then a step is applied. Checks, which only read, wait for no sync. A record that nothing waits for is synced a
moment later, so that the outcome of a step and the intent of the next share a sync if the check between them is quick.
Limits, pauses and durations count the time in which the program ran: the engine reads its clock at every tick.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import CheckResult, still_wrong, timed_out, unforeseen
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.core.suspend_aware_clock import SuspendAwareClock
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context, StepPhase, Task
from contextcore_install.engine.outcome import Limits, Outcome, RunResult
from contextcore_install.engine.plan import Plan, Step
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Timers, Workers

HEARTBEAT_S = 15.0  # dashboards and alerts build on this interval
SAVE_WITHIN_S = 0.08  # how far the state file may be behind the journal; readers are promised 100 ms
SYNC_WITHIN_S = 0.001  # independent records are group-committed within this time


class Engine:
    """Runs a plan. One object serves one run; `uniform` draws from [0, 1) for the retries' jitter.

    `confirm` is given a step's context and id in its thread, before it acts, and raises InstallError if it may not.
    """

    begins_as = Kind.STEP_STARTED

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        clock: Clock,
        workers: Workers,
        uniform: Callable[[], float],
        limits: Limits | None = None,
        confirm: Callable[[StepContext, str], None] = lambda *_: None,
    ) -> None:
        self._plan = plan
        self._recorder = recorder
        self._clock = SuspendAwareClock(clock)
        self._workers = workers
        self._uniform = uniform
        self._limits = limits or Limits()
        self._confirm = confirm
        self._sorter = plan.sorter()
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._tasks: dict[str, Task] = {}
        self._whole_run = CancelToken()
        self._timers = Timers(self._clock)
        self._after_sync: list[Callable[[], None]] = []
        self._errors: dict[str, InstallError] = {}
        self._stopping, self._saving, self._sync_timer = "", False, 0

    def interrupt(self, reason: str) -> None:
        """End the run soon: work is cancelled, the state stays resumable. Safe in a signal handler."""
        self._inbox.put(partial(self._stop, reason))

    def notice(self, text: str) -> None:
        """Record a notice that belongs to no step. Safe in any thread."""
        self._inbox.put(partial(self._recorder.record, Kind.NOTICE, text=text))

    def run(self) -> RunResult:
        """Carry the plan out."""
        self._timers.after(HEARTBEAT_S, self._heartbeat)
        self._timers.after(self._limits.tick_s, self._tick)
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
            # Without a record nothing may go on: cancel all work, whatever happens to this thread.
            for task in self._tasks.values():
                task.token.cancel("the record cannot be kept")
            raise
        finally:
            self._whole_run.cancel("the run has ended")
            self._workers.end()
        stopped = Outcome.INTERRUPTED if self._stopping else Outcome.SUCCEEDED
        return RunResult(Outcome.FAILED if self._errors else stopped, self._errors, self._stopping)

    # One turn of the loop

    def _take_messages(self) -> None:
        with suppress(queue.Empty):
            self._inbox.get(timeout=self._timers.next_in_s)()
            while not self._inbox.empty():  # nobody else takes from it
                self._inbox.get_nowait()()

    def _finish_turn(self) -> None:
        if self._recorder.state_is_behind and not self._saving:
            self._saving = True
            self._timers.after(SAVE_WITHIN_S, self._save_state)
        if self._after_sync:
            self._sync()
        elif self._recorder.is_unsynced and not self._sync_timer:
            self._sync_timer = self._timers.after(SYNC_WITHIN_S, self._sync)

    def _sync(self) -> None:
        """Make durable what was recorded, and begin what waits for it."""
        self._timers.cancel(self._sync_timer)
        self._sync_timer = 0
        self._recorder.sync()
        actions, self._after_sync = self._after_sync, []
        for action in actions:
            action()

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
        task.phase = StepPhase.CHECK
        self._workers.submit(partial(self._work, task))

    def _start_attempt(self, task: Task) -> None:
        """Record the intent, and have the step applied once that is durable."""
        if task.token.cancelled:
            self._cancelled(task)
            return
        task.attempt += 1
        self._recorder.record(self.begins_as, task.step.id, attempt=task.attempt)
        task.phase = StepPhase.APPLY
        self._after_sync.append(partial(self._workers.submit, partial(self._work, task)))

    def _work(self, task: Task) -> Callable[[], None]:
        """In a worker: do the phase's work, and return what reports how it went."""
        result: CheckResult | InstallError | CancelledError
        try:
            task.token.raise_if_cancelled()
            if task.phase is StepPhase.APPLY:
                ctx = self._context(task, applies=True)
                self._confirm(ctx, task.step.id)
                self._act(task.step, ctx)
            result = self._judge(task)
        except (InstallError, CancelledError) as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a bug in one step must not take the record of the others with it
            result = unforeseen(task.step.id, error)
        return partial(self._inbox.put, partial(self._phase_ended, task, result))

    def _context(self, task: Task, *, applies: bool = False) -> Context:
        rest = self._clock, task.began + task.step.timeout_s, self._inbox.put, applies, self._whole_run
        return Context(task.step.id, task.token, self._report, *rest)

    def _report(self, *event: Any) -> None:
        self._inbox.put(partial(self._reported, *event))

    def _reported(self, kind: Kind, step_id: str, data: dict[str, Any]) -> None:
        if task := self._tasks.get(step_id):  # else the engine has given it up
            if kind is Kind.ACTIVITY:
                task.activity = data["text"]
            self._recorder.record(kind, step_id, **data)

    def _phase_ended(self, task: Task, result: CheckResult | InstallError | CancelledError) -> None:
        if task.step.id not in self._tasks:
            return
        if isinstance(result, CancelledError) or (task.token.cancelled and isinstance(result, InstallError)):
            self._cancelled(task)
        elif isinstance(result, InstallError):
            self._failed(task, result)
        else:
            self._checked(task, result)

    def _checked(self, task: Task, result: CheckResult) -> None:
        first = task.phase is StepPhase.CHECK
        for finding in result.findings:
            if first or finding.warning:
                self._recorder.record(Kind.FINDING, task.step.id, **finding.as_document())
        if result.satisfied:
            self._record_success(task, already=first, summary=result.summary)
            self._end_task(task)
            self._sorter.done(task.step.id)
            self._begin_ready_steps()
        elif first:
            self._start_attempt(task)
        else:
            self._failed(task, still_wrong(result.problems))

    def _failed(self, task: Task, error: InstallError) -> None:
        """Try again after a pause, if the policy and the time that is left allow it."""
        task.failures += 1
        policy = task.step.retry
        delay = policy.delay(task.failures, self._uniform)
        in_time = task.began + task.step.timeout_s - self._clock.monotonic() > delay
        if task.token.cancelled or not in_time or not policy.allows_another(task.failures, retryable=error.retryable):
            self._fail(task, error)
            return
        task.phase = StepPhase.PAUSE
        shown = error.as_document()
        self._recorder.record(Kind.STEP_RETRYING, task.step.id, delay_seconds=round(delay, 3), error=shown)
        self._timers.after(delay, partial(self._pause_ended, task))

    def _pause_ended(self, task: Task) -> None:
        if task.step.id in self._tasks:
            again = self._start_attempt if task.attempt else self._check
            again(task)

    def _fail(self, task: Task, error: InstallError) -> None:
        self._errors[task.step.id] = error
        shown = error.as_document()
        self._recorder.record(Kind.STEP_FAILED, task.step.id, error=shown, duration_seconds=self._elapsed(task))
        self._end_task(task)

    def _cancelled(self, task: Task) -> None:
        if task.overdue:
            self._fail(task, timed_out(task.step.title, task.activity))
        else:
            self._end_task(task)  # its status stays as it is: resuming carries on from here

    def _end_task(self, task: Task) -> None:
        self._timers.cancel(self._tasks.pop(task.step.id).time_limit)

    def _elapsed(self, task: Task) -> float:
        return round(self._clock.monotonic() - task.began, 3)

    # What an installation does, and an undo does otherwise

    def _act(self, step: Step, ctx: Context) -> None:
        step.apply(ctx)

    def _judge(self, task: Task) -> CheckResult:
        return task.step.check(self._context(task))

    def _record_success(self, task: Task, *, already: bool, summary: str) -> None:
        data = {"already": True} if already else {}
        elapsed = self._elapsed(task)
        self._recorder.record(Kind.STEP_COMPLETED, task.step.id, duration_seconds=elapsed, summary=summary, **data)

    def _save_state(self) -> None:
        self._saving = False
        self._recorder.save_state()

    def _heartbeat(self) -> None:
        self._recorder.record(Kind.HEARTBEAT)
        self._timers.after(HEARTBEAT_S, self._heartbeat)

    def _tick(self) -> None:
        self._recorder.record(Kind.TICK, running=list(self._tasks))
        self._timers.after(self._limits.tick_s, self._tick)

    def _step_limit_reached(self, task: Task) -> None:
        if task.step.id in self._tasks:
            task.overdue = True
            self._end(task, "time limit")

    def _overall_limit_reached(self) -> None:
        for task in self._tasks.values():
            task.overdue = True
        self._stop("time limit")

    def _stop(self, reason: str) -> None:
        if not self._stopping:
            self._stopping = reason
            self._recorder.record(Kind.NOTICE, text=f"ending: {reason}")
            for task in list(self._tasks.values()):
                self._end(task, reason)

    def _end(self, task: Task, reason: str) -> None:
        """Cancel a step's work, and give it up if it does not end in time."""
        task.token.cancel(reason)
        if task.phase is StepPhase.PAUSE:
            self._cancelled(task)
        else:
            self._timers.after(self._limits.grace_s, partial(self._give_up, task))

    def _give_up(self, task: Task) -> None:
        if task.step.id in self._tasks:
            self._workers.forget_one()
            self._cancelled(task)
