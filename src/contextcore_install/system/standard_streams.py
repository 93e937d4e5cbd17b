"""The standard streams of a process that may lack some of them, or whose output cannot be written."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer


class OutputFile(FileIO):
    """Standard output, which remembers why it could not be written: whoever wrote may have carried on without it."""

    refused: OSError | None = None
    """The first error since the process began; of a reader that has gone there is none."""

    def write(self, content: Buffer) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            OutputFile.refused = OutputFile.refused or error
            raise

    @classmethod
    def was_refused(cls, error: OSError) -> bool:
        """Whether an error comes from standard output; one of a file names it."""
        return cls.refused is not None and error.errno == cls.refused.errno and error.filename is None


def open_all() -> None:
    """Give a process that was started without some of its standard streams (`>&-`) the null device for them.

    Otherwise the first files that are opened take their numbers, and what programs print would end up there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    elif sys.stdout is sys.__stdout__ and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.flush()
        file = BufferedWriter(OutputFile(sys.stdout.fileno(), "w", closefd=False))
        sys.stdout = TextIOWrapper(file, sys.stdout.encoding, line_buffering=sys.stdout.line_buffering)
    if isinstance(sys.stdout, TextIOWrapper):  # what it cannot show is shown escaped, as on standard error
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> OSError | None:
    """Write what is still buffered; return why standard output could not be written, now or before.

    What cannot be written goes nowhere, or the interpreter's end would fail with it (exit code 120).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            point_nowhere(stream)
    return OutputFile.refused


def point_nowhere(stream: TextIO) -> None:
    """Send what a stream still holds nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
