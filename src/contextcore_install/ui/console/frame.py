"""The live view's picture of a run: pure, from the progress and the time to lines that fit the screen."""

from __future__ import annotations

from contextcore_install.core.dataclass import dataclass
from contextcore_install.ui.console.progress import DisplayPhase, Progress, StepView
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.text import cells, duration, pad, sanitize, stopwatch

WIDEST = 110  # longer lines are hard to read
LEAST_TEXT = 12  # with less room than this, steps are shown by name and time alone
BAR = 24  # cells of the progress bar, if there is room

_Line = tuple[int, str]
"""A line with its rank: how gladly it is given up (0: last)."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What the run is about, for the first line."""

    cluster: str
    provider: str = ""
    mode: str = ""
    run_id: str = ""


def _fitting(lines: list[_Line], steps: int, room: int) -> list[str]:
    """Return the lines that matter most, in their order, at most `room`.

    A step's own line is worth more than any detail while all steps fit; otherwise details of running
    steps are worth more than steps that are far away.
    """
    worth = [(0 if rank >= 4 and steps <= room else rank, place) for place, (rank, _) in enumerate(lines)]
    return [lines[place][1] for place in sorted(place for _, place in sorted(worth)[: max(0, room)])]


class Picture:
    """A run at one moment (`now`, in monotonic seconds), with the columns name, time and text.

    The text comes last and unpadded: a line is no longer than it must be. So a terminal that gets narrower breaks few
    lines, and the times do not move while texts change.
    """

    def __init__(self, progress: Progress, heading: Heading, style: Style, now: float) -> None:
        self._progress, self._heading, self._now = progress, heading, now
        self._style = style = style.narrowed(min(style.width, WIDEST))
        steps = progress.steps.values()
        self._name = min(max((cells(style.plain(step.id)) for step in steps), default=0), max(8, style.width // 2))
        self._time = max((cells(self._spent(step)) for step in steps), default=0)
        self._has_text = style.width - 4 - self._name - 2 - (self._time + 2 if self._time else 0) >= LEAST_TEXT

    def frame(self, height: int, began: float) -> list[str]:
        """Return what is shown while the run lives, at most `height` lines (at least 1); it began at `began`."""
        header = [self._header()] if height > 3 else []
        room = height - 1 - len(header)
        lines = self._lines()
        space = [""] if room - len(lines) >= 2 else []
        shown = _fitting(lines, len(self._progress.steps), room)
        return [*header, *space, *shown, *space, self._footer(self._now - began)][-max(1, height) :]

    def final(self) -> list[str]:
        """Return what stays on the screen: every step as it ended."""
        return [self._header(), "", *map(self._step_line, self._progress.steps.values()), ""]

    def _header(self) -> str:
        heading = self._heading
        spans: list[Span] = [(sanitize(heading.cluster, 63), "strong")]
        if heading.provider:
            spans.append((f" on {sanitize(heading.provider, 40)}", ""))
        details = [sanitize(text, 60) for text in (heading.mode, heading.run_id) if text]
        return self._style.line(*spans, *((self._style.symbol("dash") + text, "faint") for text in details))

    def _lines(self) -> list[_Line]:
        """Return each step's line, followed by its details."""
        steps = list(self._progress.steps.values())
        busy = [index for index, step in enumerate(steps) if step.active or step.phase is DisplayPhase.FAILED]
        focus = busy[0] if busy else min(self._progress.done, len(steps) - 1)
        lines: list[_Line] = []
        for index, step in enumerate(steps):
            lines.append((0 if index in busy else 4 + abs(index - focus), self._step_line(step)))
            lines += self._details(step)
        return lines

    def _step_line(self, step: StepView) -> str:
        is_moving = step.phase in {DisplayPhase.CHECKING, DisplayPhase.RUNNING}
        mark = self._style.spinner(self._now) if is_moving else self._style.mark(step.phase)
        strong = "strong" if step.active or step.phase is DisplayPhase.FAILED else ""
        name = pad(self._style.fitted(step.id, self._name), self._name)
        spans: list[Span] = [("  ", ""), mark, (" ", "")]
        spans.append((name, "faint" if step.phase is DisplayPhase.WAITING else strong))
        if self._time:
            spans.append(("  " + self._spent(step).rjust(self._time), "faint"))
        tries = f"try {step.attempt}" if step.attempt > 1 else ""
        text, tone = self._text(step) if self._has_text else ("", "")
        if tries and text:
            tries += self._style.symbol("dash")
        return self._style.line(*spans, "  ", (tries, "faint"), (text, tone))

    def _text(self, step: StepView) -> Span:
        title = sanitize(step.title, 80)
        match step.phase:
            case DisplayPhase.FAILED:
                return step.text, "bad"
            case DisplayPhase.PAUSING:
                return f"again in {max(0.0, step.retry_at - self._now):.0f} s: {step.text}", "warn"
            case DisplayPhase.ALREADY:
                return (f"up to date: {step.text}" if step.text else "up to date"), "faint"
            case DisplayPhase.DONE:
                return step.text or title, ""
            case DisplayPhase.WAITING:
                return (step.text, "warn") if step.text else (title, "faint")
        return title, ""

    def _spent(self, step: StepView) -> str:
        return stopwatch(step.spent(self._now)) if step.active else duration(step.seconds)

    def _details(self, step: StepView) -> list[_Line]:
        """Return what hangs below a step: its parts and what it does, or what went wrong."""
        style, indent = self._style, ("      ", "")
        if not self._has_text and step.text and step.phase in {DisplayPhase.FAILED, DisplayPhase.PAUSING}:
            return [(1, style.line(indent, (step.text, "bad" if step.phase is DisplayPhase.FAILED else "warn")))]
        if not step.active:
            return []
        parts = step.parts.values()
        width = min(max((cells(style.plain(part.name)) for part in parts), default=0), style.width // 2)
        lines = []
        for part in parts:
            name = " " + pad(style.fitted(part.name, width), width)
            if part.seconds is None:
                spent = (stopwatch(self._now - part.began).rjust(7), "faint")
                lines.append((2, style.line(indent, style.spinner(self._now), name, spent)))
            else:
                mark = style.mark("failed" if part.failed else "done")
                lines.append((3, style.line(indent, mark, name, (duration(part.seconds).rjust(7), "faint"))))
        if step.doing:
            lines.append((1, style.line(indent, (style.symbol("then"), "busy"), (" " + step.doing, "faint"))))
        return lines

    def _footer(self, elapsed: float) -> str:
        progress, style = self._progress, self._style
        texts = [f"{progress.done} of {len(progress.steps)}", stopwatch(elapsed), progress.left(self._now).words()]
        text = "   ".join(filter(None, texts))
        width = min(BAR, style.width - 2 - 3 - cells(text))
        if width < 6:
            return style.line("  ", text)
        full = int(width * progress.share(self._now))
        done = (style.symbol("full") * full, "bad" if progress.failed else "good")
        return style.line("  ", done, (style.symbol("empty") * (width - full), "faint"), "   ", text)
