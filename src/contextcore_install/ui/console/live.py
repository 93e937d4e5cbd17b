"""The live view of a run on a terminal: its picture, which redraws itself in place until the run ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event as Flag
from threading import Lock, Thread
from typing import TextIO

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import finding_from_document
from contextcore_install.core.interfaces import Clock
from contextcore_install.ui.console.progress import DisplayPhase, Progress, StepView, needs_attention, remark
from contextcore_install.ui.status import finding_lines
from contextcore_install.ui.style import Span, Style, shown_cells
from contextcore_install.ui.terminal import Sink, Terminal
from contextcore_install.ui.text import cells, duration, pad, sanitize, stopwatch

REFRESH_S = 0.125  # how often the view is redrawn: often enough for a spinner, seldom enough to cost nothing
PATIENCE_S = 1.0  # how long `stop` waits for a terminal that takes no output (Ctrl-S)
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_TO_END_OF_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
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
                mark = style.mark("finding" if part.failed else "done")
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


class Painter:
    """Redraws a block of lines in place, at the end of what a terminal shows.

    Terminals break lines anew when they get narrower, so the block may take more rows than were written; it is measured
    in the width of now, which `size` gives with the rows, before it is overwritten.
    """

    def __init__(self, write: Callable[[str], None], size: Callable[[], tuple[int, int]]) -> None:
        self._write = write
        self._size = size
        self._painted: list[int] = []

    def paint(self, lines: Sequence[str], *, above: Sequence[str] = (), before: str = "", after: str = "") -> None:
        """Put the lines in the place of those painted before, in one write; those `above` stay for good."""
        columns, rows = self._size()
        up = min(sum(max(1, -(-width // columns)) for width in self._painted), rows - 1)
        back = f"\r\x1b[{up}A" if up > 0 else "\r"
        # Cleared below the first line only: some terminals keep a copy of a screen cleared from its top.
        body = "".join(
            f"{line}{_CLEAR_TO_END_OF_LINE}\n{'' if at else _CLEAR_BELOW}" for at, line in enumerate([*above, *lines])
        )
        self._painted = [shown_cells(line) for line in lines]
        self._write(before + back + body + after)


class LiveConsole:
    """A projection that shows the run in place. A thread of its own draws, so that no terminal holds up the engine."""

    def __init__(self, stream: TextIO, terminal: Terminal, progress: Progress, heading: Heading, clock: Clock) -> None:
        self._stream, self._terminal, self._clock = stream, terminal, clock
        self._progress, self._heading = progress, heading
        self._sink = Sink(stream)
        self._painter = Painter(self._sink.write, terminal.size)
        self._lock, self._stopped = Lock(), Flag()
        self._above: list[str] = []
        self._thread: Thread | None = None
        self._began = clock.monotonic()

    def handle(self, event: Event) -> None:
        remarks = self._remarks(event)
        with self._lock:
            self._progress.handle(event, self._clock.monotonic())
            self._above += remarks

    def start(self) -> None:
        if self._thread is None:
            self._began = self._clock.monotonic()
            self._thread = Thread(target=self._keep_drawing, name="live-console", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Draw the last picture, which stays, and give the cursor back. May be called again."""
        if self._stopped.is_set():
            return
        if self._thread is None:
            self._sink.lines(self._above)
            self._above = []
            return
        self._stopped.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            return  # the terminal takes nothing: neither would it take the last picture
        with self._lock:
            now = self._clock.monotonic()
            self._progress.stop(now)
            up_to_date = all(step.phase is DisplayPhase.ALREADY for step in self._progress.steps.values())
            lines = [] if up_to_date else self._picture(now).final()
        self._painter.paint(lines, above=self._above, after=SHOW_CURSOR)

    def abandon(self) -> None:
        """Give the cursor back and do nothing else; for a signal handler that ends the process."""
        self._stopped.set()
        with suppress(OSError, ValueError):
            os.write(self._stream.fileno(), SHOW_CURSOR.encode() + b"\r\n")

    def _keep_drawing(self) -> None:
        before = HIDE_CURSOR
        while not self._sink.gone:
            rows = self._terminal.size()[1]
            with self._lock:
                lines = self._picture(self._clock.monotonic()).frame(rows - 1, self._began)
            self._painter.paint(lines, before=before)
            before = ""
            if self._stopped.wait(REFRESH_S):
                return

    def _picture(self, now: float) -> Picture:
        return Picture(self._progress, self._heading, self._style(), now)

    def _remarks(self, event: Event) -> list[str]:
        """Return the lines that an event leaves above the view: findings that need attention, and notices."""
        style = self._style()
        if event.kind is Kind.FINDING:
            finding = finding_from_document(event.data)
            return finding_lines(finding, style, indent=2) if needs_attention(finding) else []
        text = style.typed(remark(event))
        return style.marked("waiting", text, indent=2, tone="faint") if text else []

    def _style(self) -> Style:
        """Return the style for one column less: a full last column makes some terminals break the line."""
        style = self._terminal.style()
        return style.narrowed(style.width - 1)
