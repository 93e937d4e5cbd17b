"""What an output stream can show, and writing to it, text or JSON lines, without ever breaking a run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.text import ascii_json
from contextcore_install.ui.style import Style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TextIO

    from contextcore_install.core.errors import InstallError

EVENT_SCHEMA = "contextcore-install/event/v1"
ERROR_SCHEMA = "contextcore-install/error/v1"

WIDTH_WITHOUT_TERMINAL = 120  # logs are read in wide windows; text longer than this is wrapped there too
UNREAD_S = 60.0
"""How long a full pipe is waited for, in seconds: a reader that pauses reads on, one that hangs holds up no run."""

_PIPE_BUF = 512  # so many bytes go into a pipe that can be written to without waiting, by POSIX at least
_UNUSABLE = (OSError, ValueError, AttributeError)
"""What a stream without a descriptor raises: a closed one, one in memory, or None in a process that has none."""


class Terminal:
    """What a stream can show. `live` says whether a view that redraws itself works on it."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str], typed: Callable[[str], str] = str) -> None:
        self._stream, self._environ, self._typed = stream, environ, typed
        self.is_terminal = False
        with contextlib.suppress(*_UNUSABLE):
            self.is_terminal = stream.isatty()
        self.live = self.is_terminal and environ.get("TERM", "dumb") not in {"dumb", ""}
        self.colour = _wants_colour(environ, self.live)
        self.unicode = _shows_unicode(stream, environ)

    def size(self) -> tuple[int, int]:
        given = _positive(self._environ.get("COLUMNS")), _positive(self._environ.get("LINES"))
        if not self.is_terminal:
            return given[0] or WIDTH_WITHOUT_TERMINAL, 24
        columns = lines = 0
        with contextlib.suppress(*_UNUSABLE):
            columns, lines = os.get_terminal_size(self._stream.fileno())
        return columns or given[0] or 80, lines or given[1] or 24

    def style(self) -> Style:
        width, terminal = self.size()[0], self.is_terminal
        return Style(width, colour=self.colour, unicode=self.unicode, typed=self._typed, cuts=terminal)


class Sink:
    """Writes text to a stream; once its reader is gone, or reads no more, writes nothing more and says so in `gone`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pipe = _pipe_of(stream)
        self.gone = False

    def write(self, text: str) -> None:
        if self.gone:
            return
        try:
            self._stream.flush()
            content = text.encode(self._stream.encoding or "utf-8", "replace")
            if self._pipe is None:
                self._stream.write(content.decode(self._stream.encoding or "utf-8"))
                self._stream.flush()
            else:
                _fill(self._pipe, memoryview(content))
        except (OSError, ValueError) as error:  # a closed pipe, a terminal that went away, a closed stream
            self.gone = True
            with contextlib.suppress(*_UNUSABLE):  # else the interpreter complains at exit of what is still buffered
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                # Nobody left, so somebody will look for it.
                with contextlib.suppress(*_UNUSABLE):
                    lost = f"standard output cannot be written: {error.strerror}"
                    sys.stderr.write(f"note: {lost}; the run goes on without it\n")
                    sys.stderr.flush()

    def lines(self, lines: list[str]) -> None:
        if lines:
            self.write("\n".join(lines) + "\n")


class JsonLines:
    """A projection that writes each event as it comes, but ticks: they pace the consoles. Its reader may go away."""

    def __init__(self, stream: TextIO) -> None:
        self._sink = Sink(stream)

    def handle(self, event: Event) -> None:
        if event.kind is not Kind.TICK:
            self._sink.write(one_line({"schema": EVENT_SCHEMA} | event.as_document() | {"schema": EVENT_SCHEMA}))


def error_document(error: InstallError) -> dict[str, Any]:
    """Return the error that ended a command before a run began, as one versioned object."""
    return {"schema": ERROR_SCHEMA, **error.as_document(), "exit_code": int(error.exit_code)}


def one_line(document: object) -> str:
    """Return a document as one line of JSON, in ASCII so that every encoding carries it."""
    try:
        return ascii_json(document, separators=(",", ":"), allow_nan=False) + "\n"
    except ValueError:  # JSON has no NaN and no infinity
        return one_line(json.loads(ascii_json(document), parse_constant=lambda _: None))


def _fill(pipe: int, content: memoryview) -> None:
    """Write into a pipe, as it takes it; raises TimeoutError when nobody reads."""
    import select

    while content:
        if not select.select([], [pipe], [], UNREAD_S)[1]:
            raise TimeoutError
        content = content[os.write(pipe, content[:_PIPE_BUF]) :]


def _pipe_of(stream: TextIO) -> int | None:
    import stat

    try:
        descriptor = stream.fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
    except _UNUSABLE:
        return None


def _wants_colour(environ: Mapping[str, str], terminal: bool) -> bool:
    """Decide by no-color.org, force-color.org and bixense.com/clicolors, in this order."""
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR") or environ.get("CLICOLOR_FORCE")
    if forced:
        return forced not in {"0", "false"}
    return terminal and environ.get("CLICOLOR") != "0"


def _shows_unicode(stream: TextIO, environ: Mapping[str, str]) -> bool:
    with contextlib.suppress(UnicodeEncodeError, LookupError):
        "✓✗━⠋…→".encode(getattr(stream, "encoding", None) or "ascii")
        return environ.get("TERM") != "linux"  # the kernel's console has no glyphs for ours, whatever the encoding
    return False


def _positive(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 5 else 0
