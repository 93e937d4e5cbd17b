"""One run, folded from its events for the page: bars, findings and notices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.progress import remark

MOST_BARS, MOST_ROWS, MOST_FINDINGS, MOST_REMARKS = 50, 80, 60, 40
"""How much of one run is kept: the page stays small whatever a journal holds."""


@dataclass(slots=True)
class Bar:
    """A stretch of time, in microseconds since 1970; `ended_us` is None while it lasts.

    `outcome` is completed, already, failed, continued (a part, in a later step) or cut off; empty while it lasts.
    """

    began_us: int
    ended_us: int | None = None
    outcome: str = ""

    def end(self, at_us: int, outcome: str) -> None:
        self.ended_us, self.outcome = max(at_us, self.began_us), outcome


@dataclass(slots=True)
class Row:
    """A step (`part` is empty) or a named part of one, with its bars; a step's `attempts` have bars of their own."""

    step: str
    part: str = ""
    bars: list[Bar] = field(default_factory=list)
    attempts: list[Bar] = field(default_factory=list)

    @property
    def going(self) -> Bar | None:
        return self.bars[-1] if self.bars and self.bars[-1].ended_us is None else None

    def begin(self, at_us: int) -> None:
        """Begin a bar, unless one lasts already."""
        if self.going is None:
            self.bars = [*self.bars[1 - MOST_BARS :], Bar(at_us)]

    def end(self, at_us: int, outcome: str) -> None:
        for bar in (*self.bars[-1:], *self.attempts[-1:]):
            if bar.ended_us is None:
                bar.end(at_us, outcome)


@dataclass(slots=True)
class RunTimeline:
    """The fold of one run's events; `take` is its step."""

    run_id: str = ""
    mode: str = ""
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
        self.last_us = event.at_us
        match event.kind:
            case Kind.RUN_STARTED:
                self.run_id, self.began_us, self.mode = event.run_id, event.at_us, str(event.data.get("mode", ""))
            case Kind.RUN_FINISHED:
                self.finished = True
                self.outcome, self.reason = (str(event.data.get(name, "")) for name in ("outcome", "reason"))
                for row in self.rows.values():
                    row.end(event.at_us, "cut off")
            case Kind.PART_STARTED | Kind.PART_FINISHED:
                row = self.row(event.step, str(event.data.get("part", ""))[:200])
                row.begin(event.at_us)
                if event.kind is Kind.PART_FINISHED:
                    row.end(event.at_us, str(event.data.get("outcome", "completed")))
            case Kind.FINDING:
                self._find(event.step, event.data)
            case _:
                self._take_step(event)
        if text := remark(event):
            self.remarks = [*self.remarks[1 - MOST_REMARKS :], [event.at_us, event.step, text]]

    def _take_step(self, event: Event) -> None:
        error = event.data.get("error")
        match event.kind:
            case Kind.STEP_STARTED:
                row = self.row(event.step)
                row.begin(event.at_us)
                row.attempts = [*row.attempts[1 - MOST_BARS :], Bar(event.at_us)]
                self.errors.pop(event.step, None)
            case Kind.STEP_RETRYING:
                for attempt in self.row(event.step).attempts[-1:]:
                    attempt.end(event.at_us, "failed")
                self._end_parts(event, "cut off")
                if isinstance(error, Mapping):
                    self._find(event.step, {**error, "warning": True, "retried": True})
            case Kind.STEP_COMPLETED:
                self._end_step(event, "already" if event.data.get("already") else "completed")
                self.errors.pop(event.step, None)
                self._heal(event.step, all_of_it=True)
            case Kind.STEP_FAILED:
                self._end_step(event, "failed")
                self._heal(event.step, all_of_it=False)  # what the last attempt met is what counts
                self.errors[event.step] = dict(error) if isinstance(error, Mapping) else {"message": str(error)}

    def _find(self, step: str, found: Mapping[str, Any]) -> None:
        key = (step, str(found.get("code", "")), str(found.get("message", "")))
        self.findings.pop(key, None)
        if len(self.findings) < MOST_FINDINGS:
            self.findings[key] = {**found, "step": step, "healed": False}

    def _heal(self, step: str, *, all_of_it: bool) -> None:
        """Note that what a step's earlier attempts met is over, and with `all_of_it` all but its warnings."""
        for found in self.findings.values():
            if found["step"] == step and (found.get("retried") or (all_of_it and not found.get("warning"))):
                found["healed"] = True

    def _end_step(self, event: Event, outcome: str) -> None:
        """End a step's bar; it began with the first check, which no event of the journal tells."""
        row = self.row(event.step)
        began = event.at_us - round((event.duration_s or 0.0) * 1e6)
        row.begin(began)
        row.bars[-1].began_us = max(self.began_us, min(row.bars[-1].began_us, began))
        row.end(event.at_us, outcome)
        self._end_parts(event, "cut off" if outcome == "failed" else "continued")

    def _end_parts(self, event: Event, outcome: str) -> None:
        for row in self.rows.values():
            if row.step == event.step and row.part:
                row.end(event.at_us, outcome)

    def row(self, step: str, part: str = "") -> Row:
        """Return the row of a step or a part; one that is not kept if there are too many already."""
        found = self.rows.get((step, part))
        if found is None:
            found = Row(step, part)
            if len(self.rows) < MOST_ROWS:
                self.rows[step, part] = found
        return found

    def running(self, step: str) -> Bar | None:
        row = self.rows.get((step, ""))
        return row.going if row else None

    def as_document(self, *, live: bool) -> dict[str, Any]:
        """Return the run as the page draws it. If it does not live, what seems to last was cut off."""
        steps = dict.fromkeys(step for step, _ in self.rows)
        in_order = [row for step in steps for row in self.rows.values() if row.step == step]
        return {
            "run_id": self.run_id,
            "mode": self.mode,
            "began_us": self.began_us,
            "ended_us": None if live else self.last_us,
            "outcome": self.outcome or ("" if live else "cut off"),
            "rows": [
                {
                    "step": row.step,
                    "part": row.part,
                    "bars": [self._bar(bar, live) for bar in (row.attempts if len(row.attempts) > 1 else row.bars)],
                }
                for row in in_order
            ],
            "problems": self.problems(),
            "remarks": self.remarks,
        }

    def _bar(self, bar: Bar, live: bool) -> list[Any]:
        if live or bar.ended_us is not None:
            return [bar.began_us, bar.ended_us, bar.outcome]
        return [bar.began_us, self.last_us, "cut off"]

    def problems(self) -> list[dict[str, Any]]:
        """Return what went wrong: errors of steps, then findings, `healed` if their step was completed after."""
        failed = [{**error, "step": step, "healed": False} for step, error in self.errors.items()]
        told = {(step, str(error.get("message", ""))) for step, error in self.errors.items()}
        return failed + [it for (step, _, text), it in self.findings.items() if (step, text) not in told]
