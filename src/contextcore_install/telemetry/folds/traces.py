"""A run as one trace: a fold of the events, so that the same events always give the same spans.

docs/reference/traces.md describes the spans for readers outside this program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.core.dataclass import asdict, dataclass, field
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.telemetry.folds.fold import restoring

PREFIX = "contextcore."
UNFINISHED = "ended without a word"  # the error of a run that was killed

SNAPSHOT_VERSION = 1
"""Raised when the fold changes: snapshots of another version are not used, the journal is folded again."""

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RunTrace:
    """What all spans of a run share. `number` is that of the event which began it."""

    run_id: str
    number: int
    cluster: str
    provider: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A span of another run: the one that stands for the event of this number."""

    run_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. Times are UTC in microseconds since 1970.

    `number` is that of the event that it stands for, `parent` that of the span around it (0 for the run itself).
    `error` says why it failed.
    """

    run: RunTrace
    number: int
    parent: int
    name: str
    start_us: int
    end_us: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""
    link: SpanLink | None = None


@dataclass(slots=True)
class _OpenSpan:
    """A span that has not ended; `step` and `part` are attributes if they are not empty."""

    number: int
    parent: int
    name: str
    start_us: int
    step: str = ""
    part: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)


class TraceFold:
    """Makes spans of events taken in order; each is returned when it ends.

    Under the run's own span are the attempts at its steps, and their checks; under an attempt its parts and its
    commands. A run that is followed by another one before it has ended was killed: it ends with its last event.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._run: RunTrace | None = None
        self._last_us = 0
        self._open: list[_OpenSpan] = []  # the run's own span first
        self._begun: dict[str, int] = {}  # when each step was begun first, in this run
        self._failure: tuple[str, str] = ("", "")  # of the first step that failed: message and code
        self._link: SpanLink | None = None

    def take(self, event: Event) -> list[Span]:
        made: list[Span] = []
        if event.kind is Kind.RUN_STARTED:
            made = self._end_all(self._last_us, UNFINISHED)
            self._begin(event)
        elif self._open and self._run is not None and event.run_id == self._run.run_id:
            made = self._take(event)
        if self._run is not None and event.run_id == self._run.run_id:
            self._last_us = event.at_us
        return made

    def snapshot(self) -> dict[str, Any]:
        return {
            "version": SNAPSHOT_VERSION,
            "run": self._run and asdict(self._run),
            "last_us": self._last_us,
            "open": [asdict(span) for span in self._open],
            "begun": dict(self._begun),
            "failure": list(self._failure),
            "link": self._link and asdict(self._link),
        }

    @classmethod
    def restore(cls, cluster: str, snapshot: Mapping[str, Any]) -> TraceFold:
        fold = cls(cluster)
        with restoring(snapshot, SNAPSHOT_VERSION):
            fold._run = RunTrace(**snapshot["run"]) if snapshot["run"] else None
            fold._last_us = int(snapshot["last_us"])
            fold._open = [_OpenSpan(**span) for span in snapshot["open"]]
            fold._begun = {str(step): int(at) for step, at in snapshot["begun"].items()}
            message, code = snapshot["failure"]
            fold._failure = (message, code)
            fold._link = SpanLink(**snapshot["link"]) if snapshot["link"] else None
        return fold

    def _begin(self, event: Event) -> None:
        before = self._run
        resumed = before is not None and before.run_id == event.data.get("resumes")
        self._link = SpanLink(before.run_id, before.number) if before is not None and resumed else None
        provider, version, mode = (str(event.data.get(name, "")) for name in ("provider", "version", "mode"))
        self._run = RunTrace(event.run_id, event.number, self._cluster, provider, version)
        self._begun, self._failure = {}, ("", "")
        name = f"contextcore-install {mode}".rstrip()
        self._open = [_OpenSpan(event.number, 0, name, event.at_us, attributes={"mode": mode} if mode else {})]

    def _take(self, event: Event) -> list[Span]:
        data = event.data
        match event.kind:
            case Kind.STEP_STARTED:
                self._begun.setdefault(event.step, event.at_us)
                self._open_attempt(event, "apply")
            case Kind.STEP_UNDO_STARTED:  # has no check before it
                self._open_attempt(event, "undo")
            case Kind.PART_STARTED:
                step, part = _place(event)
                parent = self._around(step).number
                self._open.append(_OpenSpan(event.number, parent, part, event.at_us, step, part))
            case Kind.PART_FINISHED:
                error = "failed" if data.get("outcome") == "failed" else ""
                ended = [span for span in self._open if (span.step, span.part) == _place(event)]
                return [self._end(span, event.at_us, error) for span in ended]
            case Kind.COMMAND_FINISHED:
                return [self._command(event)]
            case Kind.STEP_RETRYING:
                return self._end_step(event, *_error(data))
            case Kind.STEP_UNDONE:
                return self._end_step(event)
            case Kind.STEP_COMPLETED | Kind.STEP_FAILED:
                return self._step_ended(event)
            case Kind.RUN_FINISHED:
                return self._finished(event)
        return []

    def _open_attempt(self, event: Event, verb: str) -> None:
        attempt, parent = event.data.get("attempt", 1), self._open[0].number
        span = _OpenSpan(event.number, parent, f"{verb} {event.step}", event.at_us, event.step)
        span.attributes["attempt"] = attempt if isinstance(attempt, int) else 1
        self._open.append(span)

    def _around(self, step: str, part: str = "") -> _OpenSpan:
        """Return the innermost open span that holds what a step (in a part) does."""
        for place in ((step, part), (step, "")):
            for span in reversed(self._open[1:]):
                if (span.step, span.part) == place:
                    return span
        return self._open[0]

    def _command(self, event: Event) -> Span:
        step, part = _place(event)
        around = self._around(step, part)
        command, code = hide_secrets(str(event.data.get("command", ""))), event.data.get("exit_code", 0)
        start_us = max(around.start_us, event.at_us - _duration_us(event))
        name = command.partition(" ")[0].rpartition("/")[2] or "command"
        attributes: dict[str, Value] = {"command": command, "exit_code": code}
        span = _OpenSpan(event.number, around.number, name, start_us, step, part, attributes)
        return self._span(span, event.at_us, f"exit code {code}" if code else "")

    def _step_ended(self, event: Event) -> list[Span]:
        """Return the attempt under way, and the check that came before the first: it is known by its length only."""
        message, code = _error(event.data) if event.kind is Kind.STEP_FAILED else ("", "")
        if message and not self._failure[0]:
            self._failure = (message, code)
        attempts = self._end_step(event, message, code)
        first = self._begun.pop(event.step, 0)
        if any(span.name == f"undo {event.step}" for span in attempts):
            return attempts
        root = self._open[0]
        start_us = max(root.start_us, event.at_us - _duration_us(event))
        check = _OpenSpan(event.number, root.number, f"check {event.step}", start_us, event.step)
        if first:
            return [*attempts, self._span(check, max(start_us, first))]
        return [*attempts, self._span(check, event.at_us, message, code)]

    def _end_step(self, event: Event, message: str = "", code: str = "") -> list[Span]:
        """End what a step has open; a part that did not end by itself ends with its attempt."""
        ended = [span for span in reversed(self._open) if span.step == event.step]
        return [self._end(span, event.at_us, message, code) for span in ended]

    def _finished(self, event: Event) -> list[Span]:
        data = event.data
        outcome, code = str(data.get("outcome", "")), data.get("exit_code")
        self._open[0].attributes |= {"outcome": outcome} | ({"exit_code": code} if isinstance(code, int) else {})
        ended = f"interrupted: {data['reason']}" if data.get("reason") else outcome
        return self._end_all(event.at_us, "" if outcome == "succeeded" else ended)

    def _end_all(self, at_us: int, error: str) -> list[Span]:
        ended = [self._end(span, at_us, error) for span in self._open[:0:-1]]
        # A step's own words say more than that the run failed.
        message, code = self._failure if error and error != UNFINISHED else ("", "")
        return ended + [self._end(root, at_us, message or error, code) for root in list(self._open)]

    def _end(self, span: _OpenSpan, at_us: int, error: str = "", code: str = "") -> Span:
        self._open.remove(span)
        return self._span(span, at_us, error, code)

    def _span(self, span: _OpenSpan, end_us: int, error: str = "", code: str = "") -> Span:
        assert self._run is not None
        place = {name: value for name, value in (("step", span.step), ("part", span.part)) if value}
        attributes: dict[str, Value] = {PREFIX + name: value for name, value in (place | span.attributes).items()}
        if code:
            attributes["error.type"] = code
        link = None if span.parent else self._link
        times = span.start_us, max(span.start_us, end_us)
        return Span(self._run, span.number, span.parent, span.name, *times, attributes, hide_secrets(error), link)


def _place(event: Event) -> tuple[str, str]:
    return event.step, str(event.data.get("part", ""))


def _duration_us(event: Event) -> int:
    return round((event.duration_s or 0.0) * 1_000_000)


def _error(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return an error's message and code; the message is never empty, as a span without one has not failed."""
    error = data.get("error")
    if not isinstance(error, Mapping):
        return "failed", ""
    return str(error.get("message", "")) or "failed", str(error.get("code", ""))
