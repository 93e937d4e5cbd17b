"""A run as one trace (docs/reference/traces.md): a fold of the events, which always give the same spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.core.dataclass import asdict, dataclass, field
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.telemetry.folds.fold import Fold

PREFIX = "contextcore."
UNFINISHED = "ended without a word"  # the error of a run that was killed

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RunTrace:
    """What all spans of a run share. `number` is that of the event which began it."""

    run_id: str
    number: int
    cluster: str
    provider: str = ""
    version: str = ""


@dataclass(slots=True)
class Span:
    """Something that takes time. Times are UTC in microseconds since 1970; `end_us` is 0 while it lasts.

    `number` is that of the event that it stands for, `parent` that of the span around it (0 for the run itself).
    `error` says why it failed; `link` is the run that this one resumes.
    """

    run: RunTrace
    number: int
    parent: int
    name: str
    start_us: int
    end_us: int = 0
    step: str = ""
    part: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    link: RunTrace | None = None

    def end(self, at_us: int, error: str = "", code: str = "") -> Span:
        self.end_us, self.error = max(self.start_us, at_us), hide_secrets(error)
        if code:
            self.attributes["error.type"] = code
        return self


class TraceFold(Fold[Span]):
    """Makes spans of events taken in order; each is returned when it ends.

    Under the run's own span are the attempts at its steps, and their checks; under an attempt its parts and its
    commands. A run that is followed by another one before it has ended was killed: it ends with its last event.
    """

    version = 2

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self._run = RunTrace("", 0, cluster)
        self._last_us = 0
        self._open: list[Span] = []  # the run's own span first
        self._begun: dict[str, int] = {}  # when each step was begun first, in this run
        self._failure: tuple[str, str] = ("", "")  # of the first step that failed: message and code

    def take(self, event: Event) -> list[Span]:
        made: list[Span] = []
        if event.kind is Kind.RUN_STARTED:
            made = self._end_all(self._last_us, UNFINISHED)
            self._begin(event)
        elif self._open and event.run_id == self._run.run_id:
            made = self._take(event)
            self._open = [span for span in self._open if not span.end_us]
        if event.run_id == self._run.run_id:
            self._last_us = event.at_us
        return made

    def snapshot(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "run": asdict(self._run),
            "last_us": self._last_us,
            "open": [asdict(span) for span in self._open],
            "begun": dict(self._begun),
            "failure": list(self._failure),
        }

    def _continue_from(self, snapshot: Mapping[str, Any]) -> None:
        self._run = RunTrace(**snapshot["run"])
        self._last_us = int(snapshot["last_us"])
        for known in snapshot["open"]:
            link = RunTrace(**known["link"]) if known["link"] else None
            own = {"run": self._run, "link": link, "attributes": dict(known["attributes"])}  # which are added to
            self._open.append(Span(**{**known, **own}))
        self._begun = {str(step): int(at) for step, at in snapshot["begun"].items()}
        message, code = snapshot["failure"]
        self._failure = (message, code)

    def _begin(self, event: Event) -> None:
        before = self._run if self._run.run_id and self._run.run_id == event.data.get("resumes") else None
        provider, version, mode = (str(event.data.get(name, "")) for name in ("provider", "version", "mode"))
        self._run = RunTrace(event.run_id, event.number, self._cluster, provider, version)
        self._begun, self._failure = {}, ("", "")
        attributes: dict[str, Value] = {PREFIX + "mode": mode} if mode else {}
        name = f"contextcore-install {mode}".rstrip()
        self._open = [Span(self._run, event.number, 0, name, event.at_us, attributes=attributes, link=before)]

    def _take(self, event: Event) -> list[Span]:
        data = event.data
        match event.kind:
            case Kind.STEP_STARTED:
                self._begun.setdefault(event.step, event.at_us)
                self._open_attempt(event, "apply")
            case Kind.STEP_UNDO_STARTED:  # has no check before it
                self._open_attempt(event, "undo")
            case Kind.PART_STARTED:
                part = _part(event)
                self._open.append(self._span(event, part, self._around(event.step), event.at_us, part))
            case Kind.PART_FINISHED:
                error, place = "failed" if data.get("outcome") == "failed" else "", (event.step, _part(event))
                return [span.end(event.at_us, error) for span in self._open if (span.step, span.part) == place]
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

    def _span(self, event: Event, name: str, around: Span, start_us: int, part: str = "") -> Span:
        """Return a span within another, of an event's step (in a part)."""
        span = Span(self._run, event.number, around.number, name, max(around.start_us, start_us))
        span.step, span.part = event.step, part
        span.attributes |= {PREFIX + key: value for key, value in (("step", event.step), ("part", part)) if value}
        return span

    def _open_attempt(self, event: Event, verb: str) -> None:
        attempt = event.data.get("attempt", 1)
        span = self._span(event, f"{verb} {event.step}", self._open[0], event.at_us)
        span.attributes[PREFIX + "attempt"] = attempt if isinstance(attempt, int) else 1
        self._open.append(span)

    def _around(self, step: str, part: str = "") -> Span:
        """Return the innermost open span that holds what a step (in a part) does."""
        for place in ((step, part), (step, "")):
            for span in reversed(self._open[1:]):
                if (span.step, span.part) == place:
                    return span
        return self._open[0]

    def _command(self, event: Event) -> Span:
        part = _part(event)
        command, code = hide_secrets(str(event.data.get("command", ""))), event.data.get("exit_code", 0)
        name = command.partition(" ")[0].rpartition("/")[2] or "command"
        span = self._span(event, name, self._around(event.step, part), event.at_us - _duration_us(event), part)
        span.attributes |= {PREFIX + "command": command, PREFIX + "exit_code": code}
        return span.end(event.at_us, f"exit code {code}" if code else "")

    def _step_ended(self, event: Event) -> list[Span]:
        """Return the attempt under way, and the check that came before the first: it is known by its length only."""
        message, code = _error(event.data) if event.kind is Kind.STEP_FAILED else ("", "")
        if message and not self._failure[0]:
            self._failure = (message, code)
        attempts = self._end_step(event, message, code)
        first = self._begun.pop(event.step, 0)
        if any(span.name == f"undo {event.step}" for span in attempts):
            return attempts
        check = self._span(event, f"check {event.step}", self._open[0], event.at_us - _duration_us(event))
        return [*attempts, check.end(first) if first else check.end(event.at_us, message, code)]

    def _end_step(self, event: Event, message: str = "", code: str = "") -> list[Span]:
        """End what a step has open; a part that did not end by itself ends with its attempt."""
        ended = [span for span in reversed(self._open) if span.step == event.step]
        return [span.end(event.at_us, message, code) for span in ended]

    def _finished(self, event: Event) -> list[Span]:
        data = event.data
        outcome, code = str(data.get("outcome", "")), data.get("exit_code")
        self._open[0].attributes[PREFIX + "outcome"] = outcome
        if isinstance(code, int):
            self._open[0].attributes[PREFIX + "exit_code"] = code
        ended = f"interrupted: {data['reason']}" if data.get("reason") else outcome
        return self._end_all(event.at_us, "" if outcome == "succeeded" else ended)

    def _end_all(self, at_us: int, error: str) -> list[Span]:
        ended = [span.end(at_us, error) for span in self._open[:0:-1]]
        # A step's own words say more than that the run failed.
        message, code = self._failure if error and error != UNFINISHED else ("", "")
        return ended + [root.end(at_us, message or error, code) for root in self._open[:1]]


def _part(event: Event) -> str:
    return str(event.data.get("part", ""))


def _duration_us(event: Event) -> int:
    return round((event.duration_s or 0.0) * 1_000_000)


def _error(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return an error's message and code; the message is never empty, as a span without one has not failed."""
    error = data.get("error")
    if not isinstance(error, Mapping):
        return "failed", ""
    return str(error.get("message", "")) or "failed", str(error.get("code", ""))
