"""What a stream can show, and writing that never breaks a run."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from contextcore_install.ui.terminal import WIDTH_WITHOUT_TERMINAL, Sink, Terminal
from unit.ui.samples import BrokenStream


class Tty(io.StringIO):
    """A terminal whose size cannot be asked."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"CLICOLOR": "0"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"CLICOLOR_FORCE": "0"}, False),
        (True, {"FORCE_COLOR": "0"}, False),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_shown_where_it_is_wanted(terminal: bool, environ: Mapping[str, str], colour: bool) -> None:
    stream = Tty() if terminal else io.StringIO()
    assert Terminal(stream, {**XTERM, **environ}).colour is colour


@pytest.mark.parametrize(("environ", "live"), [(XTERM, True), ({"TERM": "dumb"}, False), ({}, False)])
def test_a_view_that_redraws_itself_needs_a_terminal_that_can(environ: Mapping[str, str], live: bool) -> None:
    assert Terminal(Tty(), environ).live is live
    assert not Terminal(io.StringIO(), environ).live


@pytest.mark.parametrize(
    ("encoding", "environ", "unicode"),
    [("utf-8", {}, True), ("ascii", {}, False), ("latin-1", {}, False), ("utf-8", {"TERM": "linux"}, False)],
)
def test_symbols_follow_the_encoding(encoding: str, environ: Mapping[str, str], unicode: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert Terminal(stream, environ).unicode is unicode


def test_the_width_comes_from_the_terminal_then_the_environment_then_a_default() -> None:
    assert Terminal(io.StringIO(), {}).size()[0] == WIDTH_WITHOUT_TERMINAL
    assert Terminal(io.StringIO(), {"COLUMNS": "70"}).size()[0] == 70
    assert Terminal(io.StringIO(), {"COLUMNS": "wide"}).size()[0] == WIDTH_WITHOUT_TERMINAL
    assert Terminal(Tty(), {"COLUMNS": "70", "LINES": "10"}).size() == (70, 10)
    assert Terminal(Tty(), {}).size() == (80, 24)


def test_a_stream_that_is_closed_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not Terminal(stream, XTERM).is_terminal


def test_a_reader_that_has_gone_is_written_to_no_more() -> None:
    sink = Sink(BrokenStream())
    sink.lines(["one"])
    assert sink.gone
    sink.lines(["two"])


def test_what_a_stream_cannot_encode_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Sink(stream).lines(["✓ \ud800 fine"])
    assert raw.getvalue() == b"? ? fine\n"


def test_a_full_disk_does_not_end_the_run_and_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as stream:
        sink = Sink(stream)
        sink.lines(["one"])
        sink.lines(["two"])
        assert sink.gone
    expected = "note: standard output cannot be written: No space left on device; the run goes on without it\n"
    assert capsys.readouterr().err == expected


def test_nothing_buffered_is_left_to_complain_of_at_exit() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        sink = Sink(stream)
        sink.lines(["one"])
        assert sink.gone  # and closing the stream, which flushes it, does not raise
