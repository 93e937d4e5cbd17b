"""What a run says without a live view: one aligned line for each thing worth a line, and `--tutorial`'s lessons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import finding_from_document
from contextcore_install.core.interfaces import Clock
from contextcore_install.core.tables import read_table
from contextcore_install.core.text import count
from contextcore_install.engine.plan import Plan
from contextcore_install.ui.console.progress import Progress, StepView, error_message, needs_attention, remark
from contextcore_install.ui.hints import hint_lines
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.terminal import Sink
from contextcore_install.ui.text import cells, duration, latest_line, pad, sanitize, stopwatch, time_of_day

QUIET_S = 2.5  # after so long without a line, the next tick writes one: ticks come every 2 s, so none waits 5 s

_Said = tuple[str, str, str] | None
"""A line: the name of its mark, its text and tone; None if there is nothing to say."""


class PlainConsole:
    """A projection that writes lines for logs; with `verbose`, what commands print too. `heading` is the first line."""

    def __init__(
        self, stream: TextIO, progress: Progress, clock: Clock, *, style: Style, heading: str, verbose: bool = False
    ) -> None:
        self._sink, self._style = Sink(stream), style
        self._progress, self._clock = progress, clock
        self._heading, self._verbose = heading, verbose
        self._total = len(progress.steps)
        self._names = min(24, max((cells(name) for name in progress.steps), default=0))
        self._last = self._began = clock.monotonic()
        self._held: list[str] = []  # until there is more to say than that nothing had to be done

    def handle(self, event: Event) -> None:
        now = self._clock.monotonic()
        step = self._progress.handle(event, now)
        if event.kind is not Kind.TICK:
            lines = self._lines(event, step)
        else:
            lines = self._sign_of_life(event, now) if now - self._last >= QUIET_S else []
        done_before = event.kind is Kind.STEP_COMPLETED and event.data.get("already") is True
        if (done_before or event.kind is Kind.RUN_STARTED) and not self._verbose:  # which is news only beside others
            self._held += lines
        elif lines:
            self._sink.lines([*self._held, *lines])
            self._held = []
            self._last = now

    def hold(self, line: str) -> None:
        self._held.append(line)

    def _lines(self, event: Event, step: StepView | None) -> list[str]:
        """Return an event's line, and what hangs below it: what is to be typed."""
        if event.kind in {Kind.OUTPUT, Kind.COMMAND_FINISHED} and not self._verbose:
            return []
        lines: list[str] = []
        if event.kind is Kind.RUN_STARTED:
            time, note = (time_of_day(event.at_us) + "  ", "faint"), ("  (times are UTC)", "faint")
            lines.append(self._style.line(time, (sanitize(self._heading), "strong"), note))
        if said := _of_step(event, step) or _of_run(event):
            lines += self._line(event, step, *said)
        hint: object = ""
        if event.kind is Kind.STEP_FAILED and isinstance(error := event.data.get("error"), Mapping):
            hint = error.get("hint", "")
        elif event.kind is Kind.FINDING:
            finding = finding_from_document(event.data)
            if finding.remedy and needs_attention(finding):  # what heals by itself is told by the lines that follow
                hint = finding.remedy.advice
        indent = 12 + (cells(self._number(step)) + self._names + 2 if step else 0)
        return lines + hint_lines(self._style, hint, label=self._style.symbol("then") + " ", indent=indent)

    def _line(self, event: Event, step: StepView | None, mark: str, text: str, tone: str) -> list[str]:
        """Return the line, its text wrapped below itself if it is too long."""
        start: list[Span] = [(time_of_day(event.at_us) + "  ", "faint")]
        if step:
            start += [(self._number(step), "faint"), (pad(step.id, self._names) + "  ", "")]
        start += [self._style.mark(mark), (" ", "")]
        indent = sum(cells(self._style.plain(span[0])) for span in start)
        return self._style.paragraph(self._style.typed(text), first=start, indent=indent, tone=tone)

    def _number(self, step: StepView) -> str:
        return f"[{step.number}/{self._total}] ".rjust(len(str(self._total)) * 2 + 4)

    def _sign_of_life(self, event: Event, now: float) -> list[str]:
        left = self._progress.left(now).words()
        behind = f" ({left})" if left else ""
        lines: list[str] = []
        for step in self._progress.active:
            parts = ", ".join(part.name for part in step.parts.values() if part.seconds is None)
            doing = step.doing or parts or ("checking" if step.attempt == 0 else "working")
            lines += self._line(event, step, "life", f"{stopwatch(step.spent(now))}  {doing}{behind}", "faint")
        return lines or self._line(event, None, "life", f"{stopwatch(now - self._began)}  working", "faint")


def _of_step(event: Event, step: StepView | None) -> _Said:
    data, took = event.data, duration(event.data.get("duration_seconds"))
    title, summary = sanitize(step.title) if step else "", sanitize(data.get("summary", ""))
    match event.kind:
        case Kind.STEP_STARTED:
            again = f" (try {step.attempt})" if step and step.attempt > 1 else ""
            return "begin", title + again, "strong"
        case Kind.STEP_COMPLETED if data.get("already"):
            return "already", _with("up to date", summary), ""
        case Kind.STEP_COMPLETED:
            return "done", _with(f"done in {took}" if took else "done", summary), "good"
        case Kind.STEP_FAILED:
            return "failed", (f"failed after {took}: " if took else "failed: ") + error_message(data), "bad"
        case Kind.STEP_RETRYING:
            pause = duration(data.get("delay_seconds"))
            return "retry", (f"trying again in {pause}: " if pause else "trying again: ") + error_message(data), "warn"
        case Kind.STEP_INVALIDATED:
            return "retry", _with("to be done again", sanitize(data.get("reason", ""))), "warn"
        case Kind.STEP_UNDO_STARTED:
            return "begin", f"undo: {title}", "strong"
        case Kind.STEP_UNDONE:
            return "done", f"undone in {took}" if took else "undone", "good"
        case Kind.PART_FINISHED:
            return _of_part(sanitize(data.get("part", ""), 60), f"  {took}" if took else "", data.get("outcome"))
    return None


def _of_part(part: str, spent: str, outcome: object) -> _Said:
    if outcome == "failed":  # the step may do without: if it cannot, its own line says so
        return "finding", f"{part}: not done{spent}", "warn"
    return "part", part + spent, ""


def _of_run(event: Event) -> _Said:
    """Return what an event says that is not about a step's progress."""
    data = event.data
    match event.kind:
        case Kind.FINDING:
            found = finding_from_document(data)
            evidence = sanitize(found.evidence)
            return "finding", sanitize(found.message) + (f" ({evidence})" if evidence else ""), "warn"
        case Kind.OUTPUT:
            line = latest_line(data.get("line", ""))
            return ("output", line, "faint") if line else None
        case Kind.COMMAND_FINISHED:
            code, took = data.get("exit_code"), duration(data.get("duration_seconds"))
            how = "" if code == 0 else f", exit code {sanitize(code, 10)}"
            return "command", f"{sanitize(data.get('command', ''))}  {took}{how}", "faint"
        case Kind.VERIFIED:
            rows = data.get("requirements")
            ratios = [row.get("ratio") for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
            met = sum(isinstance(ratio, int | float) and ratio >= 1 for ratio in ratios)
            return "part", f"verified {met} of {count(len(ratios), 'requirement')}", ""
    text = remark(event)
    return ("waiting", text, "") if text else None


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


class Tutor:
    """A projection that explains each step once: in words when it begins, in commands when it is done."""

    def __init__(self, stream: TextIO, style: Style, plan: Plan) -> None:
        self._sink = Sink(stream)
        self._style = style
        self._steps = {step.id: step for step in plan}
        self._lessons = read_table(Path(__file__).with_name("tutorial.toml"))

    def handle(self, event: Event) -> None:
        if event.kind is Kind.STEP_CHECKING and event.step in self._steps:
            step = self._steps[event.step]
            lines = ["", self._style.line((step.title, "strong"))]
            self._sink.lines([*lines, *self._style.paragraph(self._lessons[step.id], first=[("  ", "")], indent=2)])
        elif event.kind is Kind.STEP_COMPLETED and event.step in self._steps:
            try:  # now, as its commands hang on what it found
                commands = self._steps.pop(event.step).by_hand()
            except InstallError:
                return
            heading = [self._style.line("  By hand:")] if commands else []
            self._sink.lines(heading + [self._style.line("    ", (each, "strong"), whole=True) for each in commands])
