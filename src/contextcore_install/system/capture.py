"""Runs commands for what they print: once, or line by line for as long as they go on."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from contextcore_install.core.ports import StepContext
from contextcore_install.system.supervisor import Child, Supervisor


@dataclass(frozen=True, slots=True)
class Captured:
    """A command that has ended, and all that it printed. `exit_code` is negative for a signal."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


def capture(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    stdin: str | None = None,
    ctx: StepContext | None = None,
) -> Captured:
    """Run a command and return what it printed, whatever its exit code. What it is given to read is shown nowhere.

    Raises InstallError `command-missing` and `command-timeout`; CancelledError when the step is cancelled.
    """
    stdout, stderr, pipe = bytearray(), bytearray(), subprocess.PIPE
    with Supervisor(ctx, timeout_s) as supervisor:
        child = Child(argv, environ, stdin=subprocess.DEVNULL if stdin is None else pipe, stderr=pipe)
        supervisor.add(child, stdout.extend, stderr.extend)
        if stdin is not None:
            child.pending = [memoryview(stdin.encode()), memoryview(b"")]
        supervisor.attend()
    return Captured(child.argv, child.exit_code, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


class Follower:
    """A command that goes on printing; its lines are handed on as they come."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._errors: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def lines(self) -> Iterator[str]:
        """Yield the lines of stdout until the command closes it."""
        assert self._child.process.stdout is not None
        with suppress(ValueError):  # `end` closes it
            for raw in self._child.process.stdout:
                yield raw.decode(errors="replace").rstrip("\n")

    @property
    def alive(self) -> bool:
        return self._child.process.poll() is None

    def complaint(self) -> str:
        """Return what the command has printed to stderr."""
        self._reader.join(0.2)
        return "\n".join(self._errors)

    def end(self) -> None:
        self._child.end()

    def _read_errors(self) -> None:
        assert self._child.process.stderr is not None
        with suppress(ValueError):  # `end` closes it
            for raw in self._child.process.stderr:
                self._errors.append(raw.decode(errors="replace").rstrip())


#: Runs "$@" until it ends or stdin closes, which it does when we end, however we end.
_WITH_US = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; '
    "(read -r _ <&3; kill $child) >/dev/null 2>&1 & reader=$!; "
    "wait $child; code=$?; kill $reader; exit $code"
)


def start_beside(argv: Sequence[str], *, environ: Mapping[str, str]) -> Follower:
    """Start a command that goes on printing, and that ends when this program does, even by SIGKILL.

    Raises InstallError `command-missing`.
    """
    pipe = subprocess.PIPE
    return Follower(Child(["/bin/sh", "-c", _WITH_US, "sh", *argv], environ, stdin=pipe, stderr=pipe))


@contextmanager
def following(argv: Sequence[str], *, environ: Mapping[str, str]) -> Iterator[Follower]:
    """Start a command that goes on printing, and end it with the block. Raises InstallError `command-missing`."""
    follower = start_beside(argv, environ=environ)
    try:
        yield follower
    finally:
        follower.end()
