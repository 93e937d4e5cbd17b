"""Where a run stands, for the consoles, and how long it will still take. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import Finding
from contextcore_install.engine.journal_summary import RECENT, working_time_s
from contextcore_install.ui.text import latest_line, sanitize


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


QUICK_S = 0.5  # what a step is taken to need that was done before and will probably only be checked
LATE_FACTOR, LATE_S = 1.5, 5.0  # a step is late after so many times, and so many seconds more than, the usual time
MOST_CHANGES = 6  # how many changes of an imported state are named; all are in the journal
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
        return self.phase in ACTIVE

    def spent(self, now: float) -> float:
        if self.seconds is not None:
            return self.seconds
        return max(0.0, now - self.began) if self.active else 0.0

    def take(self, event: Event, now: float) -> None:
        data = event.data
        match event.kind:
            case Kind.STEP_CHECKING:
                self._begin(DisplayPhase.CHECKING, now)
            case Kind.STEP_STARTED | Kind.STEP_UNDO_STARTED:
                attempt = data.get("attempt")
                self.attempt = attempt if isinstance(attempt, int) else self.attempt + 1
                self._begin(DisplayPhase.RUNNING, self.began if self.active else now)
            case Kind.STEP_RETRYING:
                delay = data.get("delay_seconds")
                self.retry_at = now + (delay if isinstance(delay, int | float) else 0)
                self.phase, self.text, self.doing = DisplayPhase.PAUSING, error_message(data), ""
            case Kind.STEP_COMPLETED:
                phase = DisplayPhase.ALREADY if data.get("already") else DisplayPhase.DONE
                self._end(phase, sanitize(data.get("summary", "")), event, now)
            case Kind.STEP_FAILED:
                self._end(DisplayPhase.FAILED, error_message(data), event, now)
            case Kind.STEP_UNDONE:
                self._end(DisplayPhase.DONE, "undone", event, now)
            case Kind.STEP_INVALIDATED:
                self.phase, self.text = DisplayPhase.WAITING, sanitize(data.get("reason", ""))
            case _:
                self._take_detail(event, now)

    def _take_detail(self, event: Event, now: float) -> None:
        data, part = event.data, sanitize(event.data.get("part", ""), 60)
        match event.kind:
            case Kind.PART_STARTED:
                self.parts.pop(part, None)
                self.parts[part] = ProgressPart(part, now)
            case Kind.PART_FINISHED:
                known = self.parts.setdefault(part, ProgressPart(part, now))
                known.seconds = now - known.began if event.duration_s is None else event.duration_s
                known.failed = data.get("outcome") == "failed"
            case Kind.ACTIVITY:
                self.doing = sanitize(data.get("text", ""))
            case Kind.OUTPUT:
                self.doing = latest_line(data.get("line", "")) or self.doing

    def _begin(self, phase: DisplayPhase, began: float) -> None:
        self.phase, self.began, self.seconds, self.text, self.doing = phase, began, None, "", ""
        self.parts.clear()

    def _end(self, phase: DisplayPhase, text: str, event: Event, now: float) -> None:
        self.seconds = self.spent(now) if event.duration_s is None else event.duration_s
        self.phase, self.text = phase, text


class Progress:
    """The steps of a run, in the plan's order.

    `titles` names the steps, `needs` what each waits for; `history` tells, when it is needed, the seconds each took in
    earlier runs; `done_before` the steps that were completed when the run began.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        *,
        needs: Mapping[str, Collection[str]] | None = None,
        history: Callable[[], Mapping[str, Sequence[float]]] = dict,
        done_before: Collection[str] = (),
    ) -> None:
        self.steps = {name: StepView(name, title, n) for n, (name, title) in enumerate(titles.items(), 1)}
        self._needs = needs or {}
        self._history = cache(history)
        self._done_before = frozenset(done_before)
        self._left: tuple[float, float] | None = None  # the estimate that is shown, and when it was made

    @property
    def done(self) -> int:
        return sum(step.phase in FINISHED for step in self.steps.values())

    @property
    def failed(self) -> bool:
        return any(step.phase is DisplayPhase.FAILED for step in self.steps.values())

    @property
    def active(self) -> list[StepView]:
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
        step.take(event, now)
        return step

    def stop(self, now: float) -> None:
        """Note that the run has ended: what was under way stopped where it was."""
        for step in self.active:
            step.seconds, step.phase = step.spent(now), DisplayPhase.STOPPED

    def left(self, now: float) -> Estimate:
        if self.failed:
            return Estimate()
        needs = {step: self._needs.get(step, ()) for step in self.steps}
        quick = {s for s in self._done_before if s in self.steps and self.steps[s].attempt == 0}
        elapsed = {s: v.spent(now) for s, v in self.steps.items() if v.active and s not in quick}
        finished = {s for s, v in self.steps.items() if v.phase in FINISHED}
        return self._steady(estimate(self._history(), needs, elapsed, finished, quick), now)

    def _steady(self, fresh: Estimate, now: float) -> Estimate:
        """Keep a shown estimate from jumping: it falls with the time unless what is known changes much."""
        if fresh.seconds is None or fresh.late:
            self._left = None
            return fresh
        if self._left is not None:
            counted = max(0.0, self._left[0] - (now - self._left[1]))
            if abs(fresh.seconds - counted) <= max(5.0, counted * 0.25):
                return Estimate(counted)
        self._left = fresh.seconds, now
        return fresh

    def share(self, now: float) -> float:
        """Return the share of the run that is done, for a bar: steps, and what is known of the running ones."""
        done = float(self.done)
        for step in self.active:
            if before := self._history().get(step.id):
                done += min(0.9, step.spent(now) / max(0.1, before[-1]))
        return min(1.0, done / max(1, len(self.steps)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that are left (None if nothing is known), and whether a step is unusually slow."""

    seconds: float | None = None
    late: bool = False

    def words(self) -> str:
        """Return the estimate no more precisely than it is known; "" if nothing is."""
        if self.late:
            return "longer than usual"
        if self.seconds is None:
            return ""
        if self.seconds < 5:
            return "a few seconds left"
        if self.seconds < 55:
            return f"about {max(10, round(self.seconds, -1)):.0f} s left"
        return f"about {max(1, round(self.seconds / 60))} min left"


def durations(events: Iterable[Event]) -> dict[str, list[float]]:
    """Return, for each step, the seconds that its real work took in earlier runs, latest last."""
    found: dict[str, list[float]] = {}
    for event in events:
        if (seconds := working_time_s(event)) is not None:
            found.setdefault(event.step, []).append(seconds)
    return found


def usual(seconds: Sequence[float]) -> float | None:
    """Return what a step usually takes: the median of its latest durations."""
    recent = sorted(list(seconds)[-RECENT:])
    return recent[len(recent) // 2] if recent else None


def estimate(
    history: Mapping[str, Sequence[float]],
    needs: Mapping[str, Collection[str]],
    elapsed: Mapping[str, float],
    finished: Collection[str],
    quick: Collection[str] = (),
) -> Estimate:
    """Return how long the plan will still take: the longest way to its end, as independent steps run at once.

    `needs` tells for each step of the plan, in an order that can be run, what it waits for; `elapsed`
    the seconds that running steps have taken; `quick` the steps that will probably only be checked.
    """
    ends: dict[str, float] = {}
    late = False
    for step, before in needs.items():
        if step in finished:
            ends[step] = 0.0
            continue
        expected = QUICK_S if step in quick and step not in elapsed else usual(history.get(step, ()))
        if expected is None:
            return Estimate()
        spent = elapsed.get(step, 0.0)
        late = late or spent > max(expected * LATE_FACTOR, expected + LATE_S)
        ends[step] = max((ends.get(need, 0.0) for need in before), default=0.0) + max(0.0, expected - spent)
    return Estimate(max(ends.values(), default=0.0), late)


def error_message(data: Mapping[str, Any]) -> str:
    error = data.get("error")
    return sanitize(error.get("message", "")) if isinstance(error, Mapping) else sanitize(error or "")


def remark(event: Event) -> str:
    """Return what an event that changes no step has to say to people; "" if it is nothing."""
    data = event.data
    if event.kind is Kind.NOTICE:
        return sanitize(data.get("text", ""))
    if event.kind is Kind.RUN_STARTED and data.get("provider_reason"):
        return f"on {sanitize(data.get('provider', ''), 40)}: {sanitize(data['provider_reason'])}"
    if event.kind is Kind.SETTINGS_CHANGED:
        return f"settings changed: {_listed(data.get('changed'))}"
    if event.kind is Kind.STATE_IMPORTED:
        return f"taken over from the {sanitize(data.get('source', 'state file'), 80)}: {_listed(data.get('changes'))}"
    return ""


def needs_attention(finding: Finding) -> bool:
    """Whether a finding needs attention: a warning, or something that the step does not heal by itself."""
    return finding.warning or not (finding.remedy and finding.remedy.automatic)


def _listed(items: object) -> str:
    if not isinstance(items, list | tuple):
        return sanitize(items or "")
    more = len(items) - MOST_CHANGES
    named = ", ".join(sanitize(item, 80) for item in items[:MOST_CHANGES])
    return named + (f" and {more} more" if more > 0 else "")
