"""The consoles on real terminals and pipes: what is on the screen in the end, and who survives a reader that leaves."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import contextcore_install

SOURCE = str(Path(contextcore_install.__file__).parents[1])
SCENE = textwrap.dedent(
    """
    import os, signal, sys, time
    from contextcore_install.core.events import Event, Kind
    from contextcore_install.system.clock import SystemClock
    from contextcore_install.ui.console.live import Heading
    from contextcore_install.ui.terminal import JsonLines
    from contextcore_install.ui.console.live import LiveConsole
    from contextcore_install.ui.style import Style
    from contextcore_install.ui.console.plain import PlainConsole
    from contextcore_install.ui.console.progress import Progress
    from contextcore_install.ui.terminal import Terminal

    TITLES = {f"step_{n}": f"Do the work number {n}, which has a rather long title" for n in range(6)}

    def told(kind, step="", **data):
        return Event(0, time.time_ns() // 1000, "run-1", kind, step, data)

    def story(seconds):
        yield told(Kind.RUN_STARTED, mode="install")
        for number, step in enumerate(TITLES):
            yield told(Kind.STEP_CHECKING, step)
            yield told(Kind.STEP_STARTED, step, attempt=1)
            yield told(Kind.PART_STARTED, step, part="a part")
            yield told(Kind.OUTPUT, step, line="\\x1b[2Jprogress 10 %\\rprogress 20 %")
            if number == 2:
                yield told(Kind.NOTICE, step, text="a notice that stays")
            time.sleep(seconds)
            yield told(Kind.STEP_COMPLETED, step, duration_seconds=seconds, summary="as it should be")
        yield told(Kind.RUN_FINISHED, outcome="succeeded")

    clock, progress = SystemClock(), Progress(TITLES)
    terminal = Terminal(sys.stdout, os.environ)
    """
)
LIVE = SCENE + textwrap.dedent(
    """
    print("before", flush=True)
    console = LiveConsole(sys.stdout, terminal, progress, Heading("o11y-dev", "host"), clock)
    console.start()
    try:
        for event in story(float(sys.argv[1])):
            console.handle(event)
    finally:
        console.stop()
    print("after", flush=True)
    """
)


class Screen:
    """A terminal, as far as the live view uses one: rows of text, and whether the cursor shows."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[str] = [""]
        self.row = self.column = 0
        self.cursor = True

    def feed(self, text: str) -> None:
        for piece in re.findall(r"\x1b\[\??\d*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
            self._take(piece)

    def _take(self, piece: str) -> None:
        if piece == "\n":
            self.row += 1
            self.rows += [""] * (self.row + 1 - len(self.rows))
        elif piece == "\r":
            self.column = 0
        elif piece.endswith("A"):
            self.row -= int(piece[2:-1])
            assert self.row >= 0, "moved above everything"
        elif piece == "\x1b[K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif piece == "\x1b[J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif piece in {"\x1b[?25l", "\x1b[?25h"}:
            self.cursor = piece.endswith("h")
        else:
            assert not piece.startswith("\x1b"), f"an unexpected sequence: {piece!r}"
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + piece + line[self.column + len(piece) :]
            self.column += len(piece)
            assert self.column < self.columns, f"as wide as the terminal: {self.rows[self.row]!r}"


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCE, "PYTHONUTF8": "1", "NO_COLOR": "1", "TERM": "xterm", **more}


def resize(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def play(
    script: str, columns: int, lines: int, seconds: float, during: Callable[[int, subprocess.Popen[bytes]], None]
) -> tuple[str, int]:
    """Run a script on a terminal of its own; return what it wrote, and its exit code."""
    ours, theirs = pty.openpty()
    resize(theirs, columns, lines)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(seconds)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ(),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        written, told = b"", False
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not told and b"progress 20 %" in written:
                told = True
                during(ours, process)
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65_536)
                except OSError:  # how Linux says that nobody has the other side open
                    break
                if not piece:
                    break
                written += piece
        code = process.wait(60)
    os.close(ours)
    return written.decode().replace("\r\n", "\n\r"), code


def nothing(_descriptor: int, _process: subprocess.Popen[bytes]) -> None:
    """Leave the terminal as it is."""


def test_the_screen_ends_with_what_was_before_the_notices_one_picture_and_what_comes_after() -> None:
    written, code = play(LIVE, 80, 24, 0.2, nothing)
    screen = Screen(80)
    screen.feed(written)
    assert code == 0
    assert screen.cursor
    shown = [row.rstrip() for row in screen.rows]
    assert shown[:3] == ["before", "  · a notice that stays", "o11y-dev on host"]
    assert [row[4:10] for row in shown[4:10]] == [f"step_{n}" for n in range(6)]
    assert all("as it should be" in row for row in shown[4:10])
    assert shown[10:] == ["", "after", ""]


def test_on_a_small_terminal_the_picture_fits_all_the_time() -> None:
    written, code = play(LIVE, 40, 10, 0.2, nothing)
    assert code == 0
    screen = Screen(40)
    screen.feed(written)
    assert screen.cursor
    assert len([row for row in screen.rows if "step_5" in row]) == 1
    assert all(int(up) <= 9 for up in re.findall(r"\x1b\[(\d+)A", written))


def test_a_terminal_that_is_resized_gets_lines_of_its_new_width() -> None:
    written, code = play(LIVE, 100, 24, 0.3, lambda descriptor, _: resize(descriptor, 40, 24))
    assert code == 0
    last = written[written.rindex("o11y-dev") :]
    assert max(len(line) for line in last.replace("\x1b[K", "").splitlines()) < 45
    assert written.rstrip().endswith("after")


def test_ctrl_c_leaves_the_cursor_visible_and_the_steps_on_the_screen() -> None:
    written, code = play(LIVE, 80, 24, 0.5, lambda _, process: process.send_signal(signal.SIGINT))
    assert code not in {0, None}
    screen = Screen(120)
    screen.feed(written[: written.index("Traceback")])
    assert screen.cursor
    assert any("◼ step_" in row for row in screen.rows)


def test_a_terminal_that_is_closed_does_not_end_the_run() -> None:
    script = LIVE.replace('print("after", flush=True)', "os._exit(7)").replace(
        'print("before", flush=True)', "signal.signal(signal.SIGHUP, signal.SIG_IGN); print('before', flush=True)"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script, "0.2"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environ(),
        text=True,
    ) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            terminal.readline()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 7, said


def piped(console: str) -> str:
    return SCENE + textwrap.dedent(
        f"""
        console = {console}
        for event in story(0.05):
            console.handle(event)
        sys.stderr.write("whole run")
        """
    )


def test_a_pipe_whose_reader_leaves_ends_neither_the_run_nor_its_peace() -> None:
    for console in ("JsonLines(sys.stdout)", "PlainConsole(sys.stdout, progress, clock, style=Style(80), heading='')"):
        with subprocess.Popen(
            [sys.executable, "-c", piped(console)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ()
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b"whole run"
            assert process.wait(60) == 0


def test_a_log_in_ascii_is_in_ascii() -> None:
    script = piped("PlainConsole(sys.stdout, progress, clock, style=terminal.style(), heading='')")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=environ(PYTHONIOENCODING="ascii"), check=True
    )
    assert b"+ done in" in done.stdout
    assert done.stdout.isascii()
