"""The live view's picture of a run: pure, from the progress and the time to lines that fit the screen."""

from __future__ import annotations

from dataclasses import dataclass

from contextcore_install.ui.console.progress import FINISHED, DisplayPhase, Progress, StepView
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.text import cells, duration, pad, sanitize, stopwatch

WIDEST = 110
"""Longer lines are hard to read."""

LEAST_TEXT = 12
"""With less room than this, steps are shown by name and time alone."""

BAR = 24
"""Cells of the progress bar, where there is room."""

_MARKS = {
    DisplayPhase.WAITING: "waiting",
    DisplayPhase.PAUSING: "retry",
    DisplayPhase.DONE: "done",
    DisplayPhase.ALREADY: "already",
    DisplayPhase.FAILED: "failed",
    DisplayPhase.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """What the run is about, for the first line."""

    cluster: str
    provider: str = ""
    mode: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line, the step it belongs to, and how gladly it is given up (0: last)."""

    line: str
    step: int
    rank: int


def draw(progress: Progress, heading: Heading, style: Style, height: int, now: float, began: float) -> list[str]:
    """Return the frame of a running installation, at most `height` lines (at least 1).

    `now` and `began` (of the run) are monotonic seconds.
    """
    style = style.narrowed(min(style.width, WIDEST))
    footer = _footer(progress, style, now, now - began)
    rows = _rows(progress, style, now)
    room = height - 1
    header = [_header(heading, style)] if room > 2 else []
    room -= len(header)
    airy = room - len(rows) >= 2
    shown = [row.line for row in _fitting(rows, progress, room)]
    space = [""] if airy else []
    return [*header, *space, *shown, *space, footer][-max(1, height) :]


def draw_final(progress: Progress, heading: Heading, style: Style, now: float) -> list[str]:
    """Return what stays on the screen: every step as it ended."""
    style = style.narrowed(min(style.width, WIDEST))
    steps = list(progress.steps.values())
    widths = _Widths(progress, style, now)
    return [_header(heading, style), "", *(_step_line(step, style, now, widths) for step in steps), ""]


def _header(heading: Heading, style: Style) -> str:
    spans: list[Span] = [(sanitize(heading.cluster, 63), "strong")]
    if heading.provider:
        spans.append((f" on {sanitize(heading.provider, 40)}", ""))
    details = [sanitize(text, 60) for text in (heading.mode, heading.run_id) if text]
    spans += [(style.symbol("dash") + text, "faint") for text in details]
    return style.line(*spans)


class _Widths:
    """The columns: name, time, text. The text comes last and unpadded: a line is no longer than it must be.

    So a terminal that gets narrower breaks few lines, and the times do not move while texts change.
    """

    def __init__(self, progress: Progress, style: Style, now: float) -> None:
        steps = progress.steps.values()
        self.name = min(max((cells(style.plain(step.id)) for step in steps), default=0), max(8, style.width // 2))
        self.time = max((cells(_time(step, now)) for step in steps), default=0)
        self.text = style.width - 4 - self.name - 2 - (self.time + 2 if self.time else 0) >= LEAST_TEXT


def _rows(progress: Progress, style: Style, now: float) -> list[_Row]:
    steps = list(progress.steps.values())
    busy = [index for index, step in enumerate(steps) if step.active or step.phase is DisplayPhase.FAILED]
    focus = busy[0] if busy else min(progress.done, len(steps) - 1)
    widths = _Widths(progress, style, now)
    rows = []
    for index, step in enumerate(steps):
        rank = 0 if index in busy else 4 + abs(index - focus)
        rows.append(_Row(_step_line(step, style, now, widths), index, rank))
        rows += [_Row(line, index, rank) for rank, line in _details(step, style, now, widths)]
    return rows


def _fitting(rows: list[_Row], progress: Progress, room: int) -> list[_Row]:
    """Return the rows that matter most, in their order, at most `room`.

    A step's own row is worth more than any detail while all steps fit; otherwise details of running
    steps are worth more than steps that are far away.
    """
    steps = len(progress.steps)

    def worth(position: int) -> tuple[int, int]:
        rank = rows[position].rank
        return (0 if rank >= 4 and steps <= room else rank, position)

    best = sorted(range(len(rows)), key=worth)[: max(0, room)]
    return [rows[position] for position in sorted(best)]


def _step_line(step: StepView, style: Style, now: float, widths: _Widths) -> str:
    is_moving = step.phase in {DisplayPhase.CHECKING, DisplayPhase.RUNNING}
    mark = style.spinner(now) if is_moving else style.mark(_MARKS[step.phase])
    waiting = step.phase is DisplayPhase.WAITING
    name_tone = "faint" if waiting else "strong" if step.active or step.phase is DisplayPhase.FAILED else ""
    name = pad(style.fitted(step.id, widths.name), widths.name)
    spans: list[Span] = [("  ", ""), mark, (" ", ""), (name, name_tone)]
    if widths.time:
        spans.append(("  " + _time(step, now).rjust(widths.time), "faint"))
    tries = f"try {step.attempt}" if step.attempt > 1 else ""
    text, tone = _text(step, now) if widths.text else ("", "")
    if tries and text:
        tries += style.symbol("dash")
    return style.line(*spans, "  ", (tries, "faint"), (text, tone))


def _text(step: StepView, now: float) -> Span:
    title = sanitize(step.title, 80)
    if step.phase is DisplayPhase.FAILED:
        return step.text, "bad"
    if step.phase is DisplayPhase.PAUSING:
        return f"again in {max(0.0, step.retry_at - now):.0f} s: {step.text}", "warn"
    if step.phase is DisplayPhase.ALREADY:
        return (f"up to date: {step.text}" if step.text else "up to date"), "faint"
    if step.phase is DisplayPhase.DONE:
        return step.text or title, ""
    if step.phase is DisplayPhase.WAITING:
        return (step.text, "warn") if step.text else (title, "faint")
    return title, ""


def _time(step: StepView, now: float) -> str:
    return stopwatch(step.spent(now)) if step.active else duration(step.seconds)


def _details(step: StepView, style: Style, now: float, widths: _Widths) -> list[tuple[int, str]]:
    """Return (rank, line) for what hangs below a step: its parts and what it does, or what went wrong."""
    indent = ("      ", "")
    if not widths.text and step.text and step.phase in {DisplayPhase.FAILED, DisplayPhase.PAUSING}:
        return [(1, style.line(indent, (step.text, "bad" if step.phase is DisplayPhase.FAILED else "warn")))]
    if not step.active:
        return []
    parts = step.parts.values()
    names = min(max((cells(style.plain(part.name)) for part in parts), default=0), style.width // 2)
    lines = []
    for part in parts:
        running = part.seconds is None
        mark = style.spinner(now) if running else style.mark("failed" if part.failed else "done")
        spent = stopwatch(now - part.began) if part.seconds is None else duration(part.seconds)
        name = pad(style.fitted(part.name, names), names)
        lines.append((2 if running else 3, style.line(indent, mark, f" {name}", (spent.rjust(7), "faint"))))
    if step.doing:
        lines.append((1, style.line(indent, (style.symbol("then"), "busy"), (" " + step.doing, "faint"))))
    return lines


def _footer(progress: Progress, style: Style, now: float, elapsed: float) -> str:
    total = len(progress.steps)
    failed = any(step.phase is DisplayPhase.FAILED for step in progress.steps.values())
    done = sum(step.phase in FINISHED for step in progress.steps.values())
    texts = [f"{done} of {total}", stopwatch(elapsed)]
    left = progress.left(now).words()
    if left:
        texts.append(left)
    text = "   ".join(texts)
    width = min(BAR, style.width - 2 - 3 - cells(text))
    if width < 6:
        return style.line("  ", text)
    full = int(width * progress.share(now))
    bar: list[Span] = [
        (style.symbol("full") * full, "bad" if failed else "good"),
        (style.symbol("empty") * (width - full), "faint"),
    ]
    return style.line("  ", *bar, "   ", text)
