"""The live view of a run on a terminal: a block of lines that redraws itself until the run ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event as Flag
from threading import Lock, Thread
from typing import TextIO

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import finding_from_document
from contextcore_install.core.interfaces import Clock
from contextcore_install.ui.console.frame import Heading, Picture
from contextcore_install.ui.console.progress import DisplayPhase, Progress, needs_attention, remark
from contextcore_install.ui.status import finding_lines
from contextcore_install.ui.style import Style, shown_cells
from contextcore_install.ui.terminal import Sink, Terminal

REFRESH_S = 0.125  # how often the view is redrawn: often enough for a spinner, seldom enough to cost nothing
PATIENCE_S = 1.0  # how long `stop` waits for a terminal that takes no output (Ctrl-S)
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_TO_END_OF_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


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
    """A projection that shows the run in place. `handle` only notes; a thread of its own draws.

    So a terminal that takes no output holds up the drawing and never the engine.
    """

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
