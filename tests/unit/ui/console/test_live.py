"""The live console: its thread, its end, and what it does when nobody looks."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.system.clock import SystemClock
from contextcore_install.ui.console.live import HIDE_CURSOR, SHOW_CURSOR, Heading, LiveConsole, Painter
from contextcore_install.ui.console.progress import Progress
from contextcore_install.ui.terminal import Terminal
from unit.ui.samples import TITLES, BrokenStream, EventMaker, FakeClock

ENVIRON = {"TERM": "xterm", "COLUMNS": "60", "LINES": "12", "NO_COLOR": "1"}
told = EventMaker(FakeClock())


class Utf8Stream(io.StringIO):
    """A stream that shows our symbols."""

    encoding = "utf-8"


def console_on(stream: io.StringIO) -> LiveConsole:
    return LiveConsole(stream, Terminal(stream, ENVIRON), Progress(TITLES), Heading("o11y-dev"), SystemClock())


@contextmanager
def live(stream: io.StringIO) -> Iterator[LiveConsole]:
    console = console_on(stream)
    console.start()
    try:
        yield console
    finally:
        console.stop()


def test_the_cursor_is_hidden_while_it_draws_and_shown_when_it_ends() -> None:
    stream = Utf8Stream()
    with live(stream) as console:
        console.handle(told(Kind.STEP_STARTED, "preflight", attempt=1))
    assert stream.getvalue().startswith(HIDE_CURSOR)
    assert stream.getvalue().endswith(SHOW_CURSOR)
    assert stream.getvalue().count("◼ preflight") == 1  # in the picture that stays


def test_an_exception_gives_the_cursor_back_too() -> None:
    stream = Utf8Stream()
    with pytest.raises(KeyboardInterrupt), live(stream):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith(SHOW_CURSOR)


def test_stopping_twice_or_before_the_start_does_no_harm() -> None:
    stream = Utf8Stream()
    console = console_on(stream)
    console.stop()
    assert not stream.getvalue()
    console.start()
    console.stop()
    before = stream.getvalue()
    console.stop()
    assert stream.getvalue() == before


def test_a_terminal_that_goes_away_ends_the_drawing_and_not_the_run() -> None:
    with live(BrokenStream()) as console:
        for _ in range(3):
            console.handle(told(Kind.STEP_STARTED, "preflight", attempt=1))
    assert not any(thread.name == "live-console" for thread in threading.enumerate())


def test_notices_and_findings_that_want_a_hand_stay_above_the_view() -> None:
    stream = Utf8Stream()
    remedy = {"summary": "", "command": "docker start x", "risk": "harmless", "automatic": False}
    with live(stream) as console:
        console.handle(told(Kind.NOTICE, text="the state was damaged and is mended"))
        console.handle(told(Kind.FINDING, "preflight", message="Docker sleeps", remedy=remedy))
        console.handle(told(Kind.FINDING, "preflight", message="absent", remedy=remedy | {"automatic": True}))
    shown = stream.getvalue()
    assert shown.count("the state was damaged and is mended") == 1
    assert shown.count("Docker sleeps") == 1
    assert "→ docker start x" in shown
    assert "absent" not in shown


def test_what_was_remarked_before_the_view_began_is_not_lost() -> None:
    stream = Utf8Stream()
    console = console_on(stream)
    console.handle(told(Kind.RUN_STARTED, provider="host", provider_reason="no container engine answers"))
    console.stop()
    assert stream.getvalue() == "  · on host: no container engine answers\n"


class StuckStream(io.StringIO):
    """A terminal that takes no output until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.released.wait(30)
        return super().write(text)


def test_a_terminal_that_takes_no_output_does_not_hold_up_the_engine() -> None:
    stream = StuckStream()
    console = console_on(stream)
    console.start()
    began = time.monotonic()
    for _ in range(1000):
        console.handle(told(Kind.ACTIVITY, "preflight", text="working"))
    console.stop()
    assert time.monotonic() - began < 20
    stream.released.set()


def test_ending_at_once_gives_the_cursor_back_without_waiting() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        LiveConsole(stream, Terminal(stream, ENVIRON), Progress(TITLES), Heading("o11y-dev"), SystemClock()).abandon()
        stream.close()
        assert reader.read().startswith(SHOW_CURSOR.encode())


class Screen:
    """Collects what is written, and has a size."""

    def __init__(self) -> None:
        self.columns, self.rows = 40, 10
        self.written: list[str] = []

    def size(self) -> tuple[int, int]:
        return self.columns, self.rows

    def painter(self) -> Painter:
        return Painter(self.written.append, self.size)


def test_the_first_picture_moves_nothing_that_was_there() -> None:
    screen = Screen()
    screen.painter().paint(["one", "two"])
    assert screen.written == ["\rone\x1b[K\n\x1b[Jtwo\x1b[K\n"]


def test_the_next_picture_takes_the_place_of_the_last() -> None:
    screen = Screen()
    painter = screen.painter()
    painter.paint(["one", "\x1b[1mtwo\x1b[0m", ""])
    painter.paint(["new"])
    assert screen.written[-1] == "\r\x1b[3Anew\x1b[K\n\x1b[J"


def test_lines_that_a_narrower_terminal_broke_are_counted_by_the_rows_they_take() -> None:
    screen = Screen()
    painter = screen.painter()
    painter.paint(["x" * 39, "short"])
    screen.columns = 20
    painter.paint(["new"])
    assert screen.written[-1].startswith("\r\x1b[3A")


def test_lines_above_stay_and_are_not_painted_over() -> None:
    screen = Screen()
    painter = screen.painter()
    painter.paint(["one"])
    painter.paint(["two"], above=["kept"])
    assert screen.written[-1] == "\r\x1b[1Akept\x1b[K\n\x1b[Jtwo\x1b[K\n"
    painter.paint(["three"])
    assert screen.written[-1].startswith("\r\x1b[1Athree")


def test_it_never_moves_above_the_screen() -> None:
    screen = Screen()
    painter = screen.painter()
    painter.paint(["line"] * 9)
    screen.rows = 4
    painter.paint(["new"])
    assert screen.written[-1].startswith("\r\x1b[3A")
