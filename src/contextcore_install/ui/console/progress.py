"""Where a run stands, folded from its events for the consoles. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.eta import Countdown, Estimate, estimate
from contextcore_install.ui.text import duration, latest_line, sanitize


class DisplayPhase(StrEnum):
    """What people see of a step."""

    WAITING = "waiting"
    CHECKING = "checking"
    RUNNING = "running"
    PAUSING = "pausing"
    DONE = "done"
    ALREADY = "already"
    FAILED = "failed"
    STOPPED = "stopped"


ACTIVE = frozenset({DisplayPhase.CHECKING, DisplayPhase.RUNNING, DisplayPhase.PAUSING})
FINISHED = frozenset({DisplayPhase.DONE, DisplayPhase.ALREADY})


@dataclass(slots=True)
class ProgressPart:
    """A named part of a step; `seconds` is set when it has ended."""

    name: str
    began: float
    seconds: float | None = None
    failed: bool = False


@dataclass(slots=True)
class StepView:
    """One step as it is shown. `text` is what there is to say of its phase, `doing` the latest activity."""

    id: str
    title: str
    number: int
    phase: DisplayPhase = DisplayPhase.WAITING
    attempt: int = 0
    began: float = 0.0
    seconds: float | None = None
    retry_at: float = 0.0
    text: str = ""
    doing: str = ""
    parts: dict[str, ProgressPart] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether the step is under way."""
        return self.phase in ACTIVE

    def spent(self, now: float) -> float:
        """Return the seconds that the step has taken."""
        if self.seconds is not None:
            return self.seconds
        return max(0.0, now - self.began) if self.active else 0.0


class Progress:
    """The steps of a run, in the plan's order.

    `titles` names the steps, `needs` what each waits for (without it, each waits for the one before);
    `history` holds the seconds each took in earlier runs; `done_before` the steps that were completed
    when the run began.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        *,
        needs: Mapping[str, Collection[str]] | None = None,
        history: Mapping[str, Sequence[float]] | None = None,
        done_before: Collection[str] = (),
    ) -> None:
        self.steps = {name: StepView(name, title, n) for n, (name, title) in enumerate(titles.items(), 1)}
        self._needs = needs or _chain(list(titles))
        self._history = history or {}
        self._done_before = frozenset(done_before)
        self._countdown = Countdown()

    @property
    def done(self) -> int:
        """How many steps are finished."""
        return sum(step.phase in FINISHED for step in self.steps.values())

    @property
    def active(self) -> list[StepView]:
        """The steps that are under way."""
        return [step for step in self.steps.values() if step.active]

    def handle(self, event: Event, now: float) -> StepView | None:
        """Take an event in; return the step that it is about."""
        if not event.step:
            if event.kind is Kind.RUN_FINISHED:
                self.stop(now)
            return None
        step = self.steps.get(event.step)
        if step is None:
            name = sanitize(event.step, 60)
            step = self.steps[event.step] = StepView(name, name, len(self.steps) + 1)
        change = _CHANGES.get(event.kind)
        if change:
            change(step, event.data, now)
        return step

    def stop(self, now: float) -> None:
        """Note that the run has ended: what was under way stopped where it was."""
        for step in self.active:
            step.seconds, step.phase = step.spent(now), DisplayPhase.STOPPED

    def left(self, now: float) -> Estimate:
        """Return how long it will still take, if that is known."""
        needs = {step: self._needs.get(step, ()) for step in self.steps}
        quick = {s for s in self._done_before if s in self.steps and self.steps[s].attempt == 0}
        elapsed = {s: v.spent(now) for s, v in self.steps.items() if v.active and s not in quick}
        finished = {s for s, v in self.steps.items() if v.phase in FINISHED}
        if any(v.phase is DisplayPhase.FAILED for v in self.steps.values()):
            return Estimate()
        return self._countdown.steady(estimate(self._history, needs, elapsed, finished, quick), now)

    def share(self, now: float) -> float:
        """Return the share of the run that is done, for a bar: steps, and what is known of the running ones."""
        if not self.steps:
            return 0.0
        done = float(self.done)
        for step in self.active:
            before = self._history.get(step.id)
            if before:
                done += min(0.9, step.spent(now) / max(0.1, before[-1]))
        return min(1.0, done / len(self.steps))


def _chain(steps: list[str]) -> dict[str, tuple[str, ...]]:
    return {step: (steps[index - 1],) if index else () for index, step in enumerate(steps)}


def _checking(step: StepView, _data: Mapping[str, Any], now: float) -> None:
    step.phase, step.began, step.seconds = DisplayPhase.CHECKING, now, None
    step.text = step.doing = ""
    step.parts.clear()


def _started(step: StepView, data: Mapping[str, Any], now: float) -> None:
    if not step.active:
        step.began, step.seconds = now, None
    attempt = data.get("attempt")
    step.attempt = attempt if isinstance(attempt, int) else step.attempt + 1
    step.phase, step.text, step.doing = DisplayPhase.RUNNING, "", ""
    step.parts.clear()


def _retrying(step: StepView, data: Mapping[str, Any], now: float) -> None:
    delay = data.get("delay_seconds")
    step.phase, step.doing = DisplayPhase.PAUSING, ""
    step.retry_at = now + (delay if isinstance(delay, int | float) else 0)
    step.text = error_message(data)


def _completed(step: StepView, data: Mapping[str, Any], now: float) -> None:
    step.seconds = _seconds(data, step.spent(now))
    step.phase = DisplayPhase.ALREADY if data.get("already") else DisplayPhase.DONE
    step.text = sanitize(data.get("summary", ""))


def _failed(step: StepView, data: Mapping[str, Any], now: float) -> None:
    step.seconds = _seconds(data, step.spent(now))
    step.phase, step.text = DisplayPhase.FAILED, error_message(data)


def _invalidated(step: StepView, data: Mapping[str, Any], _now: float) -> None:
    step.phase, step.text = DisplayPhase.WAITING, sanitize(data.get("reason", ""))


def _undone(step: StepView, data: Mapping[str, Any], now: float) -> None:
    step.seconds = _seconds(data, step.spent(now))
    step.phase, step.text = DisplayPhase.DONE, "taken back"


def _part_started(step: StepView, data: Mapping[str, Any], now: float) -> None:
    name = sanitize(data.get("part", ""), 60)
    step.parts.pop(name, None)
    step.parts[name] = ProgressPart(name, now)


def _part_finished(step: StepView, data: Mapping[str, Any], now: float) -> None:
    name = sanitize(data.get("part", ""), 60)
    part = step.parts.setdefault(name, ProgressPart(name, now))
    part.seconds = _seconds(data, now - part.began)
    part.failed = data.get("outcome") == "failed"


def _activity(step: StepView, data: Mapping[str, Any], _now: float) -> None:
    step.doing = sanitize(data.get("text", ""))


def _output(step: StepView, data: Mapping[str, Any], _now: float) -> None:
    step.doing = latest_line(data.get("line", "")) or step.doing


_CHANGES = {
    Kind.STEP_CHECKING: _checking,
    Kind.STEP_STARTED: _started,
    Kind.STEP_RETRYING: _retrying,
    Kind.STEP_COMPLETED: _completed,
    Kind.STEP_FAILED: _failed,
    Kind.STEP_INVALIDATED: _invalidated,
    Kind.STEP_UNDO_STARTED: _started,
    Kind.STEP_UNDONE: _undone,
    Kind.PART_STARTED: _part_started,
    Kind.PART_FINISHED: _part_finished,
    Kind.ACTIVITY: _activity,
    Kind.OUTPUT: _output,
}


def error_message(data: Mapping[str, Any]) -> str:
    """Return the message of the error that an event carries."""
    error = data.get("error")
    return sanitize(error.get("message", "")) if isinstance(error, Mapping) else sanitize(error or "")


def _seconds(data: Mapping[str, Any], otherwise: float) -> float:
    seconds = data.get("duration_seconds")
    return float(seconds) if duration(seconds) and isinstance(seconds, int | float) else otherwise
