"""Redrawing in place, as a terminal sees it."""

from __future__ import annotations

from contextcore_install.ui.console.live import Painter


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
