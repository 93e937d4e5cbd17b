"""Runs commands for their lines, for what they print, for as long as they go on, and from or to files and others.

All of them are bounded in time, ended with all that they started when the step is cancelled, and recorded as its own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from shlex import join
from typing import IO, Self

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.supervisor import DEFAULTS, Child, StartOptions, Supervisor

#: Lines of output that an error shows, and that are kept for whoever asks what a command printed.
KEEP_LINES, ALL_LINES = 40, 2000
#: Bytes that are kept of what a command says whose output is for others.
KEEP_BYTES = 8192
FEED_BYTES = 1024 * 1024  # that are read of a file at a time


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended; `exit_code` is negative for a signal, `lines` are the last that it printed."""

    argv: tuple[str, ...]
    exit_code: int
    lines: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)


def run(
    argv: Sequence[str],
    ctx: StepContext | None = None,
    *,
    timeout_s: float = 600.0,
    environ: Mapping[str, str] | None = None,
    check: bool = True,
    hear: Callable[[str], object] | None = None,
    options: StartOptions = DEFAULTS,
) -> Completed:
    """Run a command, hand its lines (stdout and stderr as one) to `ctx.output` and `hear`, and return how it ended.

    Raises InstallError `command-missing` if it cannot be started, `command-timeout` after `timeout_s` seconds, and
    `command-failed` for an exit code other than 0 unless `check` is off; CancelledError when the step is cancelled.
    """
    lines = _Lines([hearer for hearer in (ctx and ctx.output, hear) if hearer])
    with Supervisor(ctx, timeout_s) as supervisor:
        child = supervisor.add(Child(argv, environ, options), lines.take)
        supervisor.before_exchange = options.meanwhile
        supervisor.attend(lambda: "\n".join(lines.last(KEEP_LINES)))
    completed = Completed(child.argv, child.exit_code, lines.last(ALL_LINES))
    if check and completed.exit_code != 0:
        raise failure(completed)
    return completed


def failure(completed: Completed) -> InstallError:
    code = completed.exit_code
    names = {-number: number.name for number in signal.Signals}
    how = f"was ended by {names.get(code, f'signal {-code}')}" if code < 0 else f"failed with exit code {code}"
    evidence = "\n".join(completed.lines[-KEEP_LINES:]) or "It printed nothing."
    return InstallError("command-failed", f"`{join(completed.argv)}` {how}.", evidence, retryable=True)


class _Lines:
    """Splits what a command prints into lines, hands those that are not blank on, and keeps the last."""

    def __init__(self, hearers: Sequence[Callable[[str], object]]) -> None:
        self._hearers = hearers
        self._kept: deque[str] = deque(maxlen=ALL_LINES)
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + (chunk or b"\n")).split(b"\n")
        for raw in whole:
            # A progress bar rewrites its line with carriage returns: the last state is what counts.
            line = raw.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
            if line.strip():
                self._kept.append(line)
                for hear in self._hearers:
                    hear(line)

    def last(self, count: int) -> tuple[str, ...]:
        return tuple(self._kept)[-count:]


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


#: Runs "$@" until it ends or stdin closes, which it does when we end, however we end.
_WITH_US = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; '
    "(read -r _ <&3; kill $child) >/dev/null 2>&1 & reader=$!; "
    "wait $child; code=$?; kill $reader; exit $code"
)


class Follower(Child):
    """A command that goes on printing, until the end of the block or of this program, even by SIGKILL."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        bound = ["/bin/sh", "-c", _WITH_US, "sh", *argv]
        super().__init__(bound, environ, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def lines(self) -> Iterator[str]:
        """Yield the lines of stdout as they come, until the command closes it."""
        assert self.process.stdout is not None
        with suppress(ValueError):  # `end` closes it
            for raw in self.process.stdout:
                yield raw.decode(errors="replace").rstrip("\n")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class _Tail(bytearray):
    def take(self, chunk: bytes) -> None:
        self.extend(chunk)
        del self[:-KEEP_BYTES]

    def text(self) -> str:
        return self.decode(errors="replace")


def stream(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
    ctx: StepContext | None = None,
) -> None:
    """Run a command with a file as its input or output, to its end.

    Raises InstallError `command-missing`, `command-timeout`, and `command-failed` for an exit code other than 0;
    CancelledError when the step is cancelled.
    """
    if source is not None:
        os.lseek(source.fileno(), 0, os.SEEK_SET)  # the command reads the descriptor, not our buffer
    nowhere, said = subprocess.DEVNULL, _Tail()
    with Supervisor(ctx, timeout_s) as supervisor:
        child = Child(argv, environ, stdin=source or nowhere, stdout=sink or nowhere, stderr=subprocess.PIPE)
        supervisor.add(child, said.take, said.take)
        supervisor.attend(said.text, retryable=False)
    if child.exit_code != 0:
        message = f"`{join(argv)}` failed with exit code {child.exit_code}."
        raise InstallError("command-failed", message, said.text().strip())


class _Sinks:
    """Commands that are all handed the same bytes. One that ends early does not stop the others."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved, self._total = moved, 0
        self._children: list[Child] = []
        self._said: list[_Tail] = []

    def start(self, argv: Sequence[str], environ: Mapping[str, str], supervisor: Supervisor) -> None:
        self._said.append(_Tail())
        child = Child(argv, environ, stdin=subprocess.PIPE)
        with suppress(AttributeError, OSError):  # only Linux can, and not for everybody: it saves most of the calls
            fcntl.fcntl(child.input, fcntl.F_SETPIPE_SZ, FEED_BYTES)
        self._children.append(supervisor.add(child, self._said[-1].take))

    @property
    def reading(self) -> list[Child]:
        return [child for child in self._children if child.is_under_way and not child.input.closed]

    def have_room(self) -> bool:
        # What a command that has ended did not read is nobody's any more.
        return not any(child.pending for child in self._children if child.is_under_way)

    def take(self, chunk: bytes) -> None:
        self._total += len(chunk)
        self._moved(self._total)
        for child in self.reading:
            child.pending.append(memoryview(chunk))

    def feed(self, source: IO[bytes]) -> None:
        if self.reading and self.have_room():
            self.take(source.read(FEED_BYTES))

    def texts(self) -> list[str]:
        return [tail.text() for tail in self._said]

    def ended(self) -> list[Captured]:
        return [_ended(child, tail) for child, tail in zip(self._children, self._said, strict=True)]


def _ended(child: Child, said: _Tail) -> Captured:
    return Captured(child.argv, child.exit_code, "", said.text())


def pipe(
    source: Sequence[str] | IO[bytes],
    sinks: Sequence[Sequence[str]],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    ctx: StepContext | None = None,
    moved: Callable[[int], None] = lambda _: None,
) -> tuple[Captured, list[Captured]]:
    """Hand what a command prints, or what a file holds, to all the others; return how each ended, and what it said.

    A sink that ends early does not stop the others; a file is taken for a command that succeeded. `moved` is told how
    many bytes there have been. Raises InstallError `command-missing` and `command-timeout`; CancelledError when the
    step is cancelled; and whatever reading the file raises.
    """
    said, taking = _Tail(), _Sinks(moved)
    with Supervisor(ctx, timeout_s) as supervisor:
        first = None
        if isinstance(source, Sequence):
            first = supervisor.add(Child(source, environ, stderr=subprocess.PIPE), taking.take, said.take)
            first.has_room = taking.have_room
            supervisor.before_exchange = partial(_stop_unread, first, taking)
        else:
            supervisor.before_exchange = partial(taking.feed, source)
        for argv in sinks:
            taking.start(argv, environ, supervisor)
        supervisor.attend(lambda: "\n".join(filter(None, [said.text(), *taking.texts()])))
    return _ended(first, said) if first else Captured((), 0, "", ""), taking.ended()


def _stop_unread(source: Child, sinks: _Sinks) -> None:
    """Have a command told by SIGPIPE that nobody reads on."""
    assert source.process.stdout is not None
    if not sinks.reading and source.process.stdout in source.takers:
        source.finish(source.process.stdout)
