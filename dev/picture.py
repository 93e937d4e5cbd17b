"""Draw docs/installation.svg from a real installation: `make picture ARGS='--provider kind'`.

The program runs in a pseudo-terminal; what a terminal would show is kept once a second, and becomes the frames of an
animated SVG (CSS animations, which browsers and GitHub run without scripts).
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "installation.svg"
COLUMNS, LINES = 92, 30
CELL, LEADING, MARGIN = 8.4, 18, 12
"""Width of a cell, height of a line, and the margin, in pixels."""

SHOWN_S, LAST_SHOWN_S, MOST_FRAMES = 0.6, 6.0, 40
COLOURS = {"default": "#d0d0d0", "green": "#87c95f", "red": "#e06c75", "cyan": "#56b6c2", "brown": "#e5c07b",
           "brightblack": "#808080", "blue": "#61afef", "magenta": "#c678dd", "white": "#ffffff"}  # fmt: skip
BACKGROUND = "#1c1c1c"


def record(arguments: Sequence[str]) -> list[str]:
    """Run the program on a terminal and return its frames, one a second and the last, each as SVG groups."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        os.chdir(ROOT)
        os.execv("./create-cluster.sh", ["./create-cluster.sh", *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    frames: list[str] = []
    looked_at = time.monotonic()
    while (output := _read(terminal)) is not None:
        stream.feed(output)
        if time.monotonic() - looked_at >= 1:
            looked_at = time.monotonic()
            frames.append(_drawn(screen))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        sys.exit(f"the program ended with exit code {code}:\n" + "\n".join(screen.display))
    return [frame for frame, _ in groupby([*frames, _drawn(screen)])]


def _read(terminal: int) -> bytes | None:
    """Return what was printed within half a second; None once the program has closed its terminal."""
    if not select.select([terminal], [], [], 0.5)[0]:
        return b""
    try:
        return os.read(terminal, 65_536) or None
    except OSError:  # EIO: how Linux says that the other side is closed
        return None


def _drawn(screen: pyte.Screen) -> str:
    return "".join(_line(screen, number) for number in range(LINES))


def _line(screen: pyte.Screen, number: int) -> str:
    cells = [screen.buffer[number][column] for column in range(COLUMNS)]
    spans, column = [], 0
    for (colour, bold), group in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
        text = "".join(cell.data for cell in group)
        if text.strip():
            weight = ' font-weight="bold"' if bold else ""
            x = MARGIN + column * CELL
            fill = COLOURS.get(colour, f"#{colour}" if len(colour) == 6 else COLOURS["default"])
            spans.append(
                f'<text x="{x:.1f}" y="{_y(number)}" fill="{fill}"{weight} textLength="{len(text) * CELL:.1f}">'
                f"{html.escape(text)}</text>"
            )
        column += len(text)
    return "".join(spans)


def _y(line: int) -> int:
    return MARGIN + (line + 1) * LEADING - 4


def picture(frames: Sequence[str]) -> str:
    """Return the SVG that shows the frames one after the other, the last one longest, again and again."""
    kept = [*frames[: -1 : max(1, len(frames) // MOST_FRAMES)], frames[-1]]
    total = SHOWN_S * (len(kept) - 1) + LAST_SHOWN_S
    size = f"{round(2 * MARGIN + COLUMNS * CELL)} {2 * MARGIN + LINES * LEADING}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">',
        "<style>",
        "text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }",
        f"g {{ visibility: hidden; animation: {total:.1f}s step-end infinite }}",
        *(_keyframes(number, len(kept), total) for number in range(len(kept))),
        "</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        *(f'<g style="animation-name: f{number}">{frame}</g>' for number, frame in enumerate(kept)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _keyframes(number: int, count: int, total: float) -> str:
    begins, ends = (100 * SHOWN_S * edge / total for edge in (number, number + 1))
    after = "" if number == count - 1 else f" {ends:.2f}% {{ visibility: hidden }}"
    return f"@keyframes f{number} {{ {begins:.2f}% {{ visibility: visible }}{after} }}"


if __name__ == "__main__":
    PICTURE.write_text(picture(record(sys.argv[1:])), encoding="utf-8")
