"""One run, folded from its events for the page: its bars in time, what it found, and what it remarked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.remarks import remark

MOST_BARS, MOST_ROWS, MOST_FINDINGS, MOST_REMARKS = 50, 80, 60, 40
"""How much of one run is kept: the page stays small whatever a journal holds."""


@dataclass(slots=True)
class Bar:
    """A stretch of time, in microseconds since 1970; `ended_us` is None while it lasts.

    `outcome` is completed, already, failed or cut off; empty while it lasts.
    """

    began_us: int
    ended_us: int | None = None
    outcome: str = ""

    def end(self, at_us: int, outcome: str) -> None:
        """Note its end."""
        self.ended_us, self.outcome = max(at_us, self.began_us), outcome

    def as_document(self) -> list[Any]:
        """Return the bar as the page holds it: when it began and ended, and its outcome."""
        return [self.began_us, self.ended_us, self.outcome]


@dataclass(slots=True)
class Row:
    """A step (`part` is empty) or a named part of one, with its bars; a step's `attempts` have bars of their own."""

    step: str
    part: str = ""
    bars: list[Bar] = field(default_factory=list)
    attempts: list[Bar] = field(default_factory=list)

    @property
    def going(self) -> Bar | None:
        """The bar that lasts, if one does."""
        return self.bars[-1] if self.bars and self.bars[-1].ended_us is None else None

    def begin(self, at_us: int) -> None:
        """Begin a bar, unless one lasts already."""
        if self.going is None:
            self.bars = [*self.bars[1 - MOST_BARS :], Bar(at_us)]

    def end(self, at_us: int, outcome: str) -> None:
        """End what lasts."""
        for bar in (*self.bars[-1:], *self.attempts[-1:]):
            if bar.ended_us is None:
                bar.end(at_us, outcome)


@dataclass(slots=True)
class RunStory:
    """The fold of one run's events; `take` is its step."""

    run_id: str = ""
    mode: str = ""
    version: str = ""
    began_us: int = 0
    last_us: int = 0
    finished: bool = False
    outcome: str = ""
    reason: str = ""
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    findings: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: list[list[Any]] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take one event in."""
        self.last_us = event.at_us
        change = _CHANGES.get(event.kind)
        if change:
            change(self, event)
        text = remark(event)
        if text:
            self.remarks = [*self.remarks[1 - MOST_REMARKS :], [event.at_us, event.step, text]]

    def row(self, step: str, part: str = "") -> Row:
        """Return the row of a step or a part; one that is not kept where there are too many already."""
        found = self.rows.get((step, part))
        if found is None:
            found = Row(step, part)
            if len(self.rows) < MOST_ROWS:
                self.rows[step, part] = found
        return found

    def running(self, step: str) -> Bar | None:
        """Return the bar of a step that is under way."""
        row = self.rows.get((step, ""))
        return row.going if row else None

    def as_document(self, *, live: bool) -> dict[str, Any]:
        """Return the run as the page draws it. Where it does not live, what seems to last was cut off."""
        return {
            "run_id": self.run_id,
            "mode": self.mode,
            "began_us": self.began_us,
            "ended_us": None if live else self.last_us,
            "outcome": self.outcome or ("" if live else "cut off"),
            "rows": [self._row(row, live) for row in self._in_order()],
            "problems": self.problems(),
            "remarks": self.remarks,
        }

    def problems(self) -> list[dict[str, Any]]:
        """Return what went wrong: errors of steps, then findings, `healed` where their step was completed after."""
        failed = [{**error, "step": step, "healed": False} for step, error in self.errors.items()]
        told = {(step, str(error.get("message", ""))) for step, error in self.errors.items()}
        return failed + [it for (step, _, text), it in self.findings.items() if (step, text) not in told]

    def _in_order(self) -> list[Row]:
        """Return each step's row with its parts' behind it."""
        steps = list(dict.fromkeys(step for step, _ in self.rows))
        return [row for step in steps for row in self.rows.values() if row.step == step]

    def _row(self, row: Row, live: bool) -> dict[str, Any]:
        bars = row.attempts if len(row.attempts) > 1 else row.bars
        return {"step": row.step, "part": row.part, "bars": [self._bar(bar, live) for bar in bars]}

    def _bar(self, bar: Bar, live: bool) -> list[Any]:
        if live or bar.ended_us is not None:
            return bar.as_document()
        return [bar.began_us, self.last_us, "cut off"]


def _run_started(story: RunStory, event: Event) -> None:
    story.run_id, story.began_us = event.run_id, event.at_us
    story.mode, story.version = str(event.data.get("mode", "")), str(event.data.get("version", ""))


def _run_finished(story: RunStory, event: Event) -> None:
    story.finished = True
    story.outcome, story.reason = str(event.data.get("outcome", "")), str(event.data.get("reason", ""))
    for row in story.rows.values():
        row.end(event.at_us, "cut off")


def _step_started(story: RunStory, event: Event) -> None:
    row = story.row(event.step)
    row.begin(event.at_us)
    row.attempts = [*row.attempts[1 - MOST_BARS :], Bar(event.at_us)]
    story.errors.pop(event.step, None)


def _step_retrying(story: RunStory, event: Event) -> None:
    row = story.row(event.step)
    if row.attempts:
        row.attempts[-1].end(event.at_us, "failed")
    _end_parts(story, event)
    error = event.data.get("error")
    if isinstance(error, Mapping):
        _find(story, event.step, {**error, "warning": True, "retried": True})


def _step_completed(story: RunStory, event: Event) -> None:
    _end_step(story, event, "already" if event.data.get("already") else "completed")
    story.errors.pop(event.step, None)
    for found in story.findings.values():
        if found["step"] == event.step and (not found.get("warning") or found.get("retried")):
            found["healed"] = True


def _step_failed(story: RunStory, event: Event) -> None:
    _end_step(story, event, "failed")
    error = event.data.get("error")
    for found in story.findings.values():
        if found["step"] == event.step and found.get("retried"):
            found["healed"] = True  # what the last attempt met is what counts
    story.errors[event.step] = dict(error) if isinstance(error, Mapping) else {"message": str(error)}


def _end_step(story: RunStory, event: Event, outcome: str) -> None:
    """End a step's bar; it began with the first check, which no event of the journal tells."""
    row = story.row(event.step)
    seconds = event.data.get("duration_seconds")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e9
    began = event.at_us - round(seconds * 1e6) if known and seconds is not None else event.at_us
    row.begin(began)
    row.bars[-1].began_us = max(story.began_us, min(row.bars[-1].began_us, began))
    row.end(event.at_us, outcome)
    _end_parts(story, event)


def _end_parts(story: RunStory, event: Event) -> None:
    for row in story.rows.values():
        if row.step == event.step and row.part:
            row.end(event.at_us, "cut off")


def _part_started(story: RunStory, event: Event) -> None:
    story.row(event.step, str(event.data.get("part", ""))[:200]).begin(event.at_us)


def _part_finished(story: RunStory, event: Event) -> None:
    row = story.row(event.step, str(event.data.get("part", ""))[:200])
    row.begin(event.at_us)
    row.end(event.at_us, str(event.data.get("outcome", "completed")))


def _finding(story: RunStory, event: Event) -> None:
    _find(story, event.step, event.data)


def _find(story: RunStory, step: str, found: Mapping[str, Any]) -> None:
    key = (step, str(found.get("code", "")), str(found.get("message", "")))
    story.findings.pop(key, None)
    if len(story.findings) < MOST_FINDINGS:
        story.findings[key] = {**found, "step": step, "healed": False}


_CHANGES = {
    Kind.RUN_STARTED: _run_started,
    Kind.RUN_FINISHED: _run_finished,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_RETRYING: _step_retrying,
    Kind.STEP_COMPLETED: _step_completed,
    Kind.STEP_FAILED: _step_failed,
    Kind.PART_STARTED: _part_started,
    Kind.PART_FINISHED: _part_finished,
    Kind.FINDING: _finding,
}
