"""Starts commands in process groups of their own, moves their bytes, and ends them with all that they started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from shlex import join
from typing import IO, Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.suspend_aware_clock import SuspendAwareClock
from contextcore_install.system.clock import SystemClock

#: Seconds that a command gets to end when it is asked to, before it is killed.
GRACE_S = 5.0
#: Seconds between two looks at the clock; also how long to go on reading when a command has ended and something that it
#: left running holds its output open.
_LOOK_S = 0.2
_CHUNK_BYTES = 65_536

_groups: set[int] = set()
"""Process groups of commands that run now. A plain set, so that a signal handler can walk a copy without a lock."""

Taker = Callable[[bytes], object]
"""Takes what a command prints, in pieces; the empty piece is the end."""


def kill_all_children() -> None:
    """End at once every command that is under way, with all that these started. For a hard exit."""
    for group in tuple(_groups):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Where a command is started, the file descriptors that it inherits, and what is called now and then meanwhile.

    Should we be killed, a lock behind such a descriptor stays held until the command has ended as well.
    """

    cwd: Path | None = None
    keep: tuple[int, ...] = ()
    meanwhile: Callable[[], None] = lambda: None


DEFAULTS = StartOptions()


class Child:
    """A command that leads a process group of its own; its stdin is empty and stderr goes to stdout unless told else.

    `pending` are the pieces to write to its stdin, which an empty one closes. Raises InstallError `command-missing`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str] | None,
        options: StartOptions = DEFAULTS,
        **streams: int | IO[bytes],
    ) -> None:
        self.argv = tuple(argv)
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        env = None if environ is None else dict(environ)
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv, env=env, cwd=options.cwd, pass_fds=options.keep, start_new_session=True, **pipes | streams
            )
        except OSError as error:
            message = f"`{argv[0]}` cannot be started: {error.strerror}."
            raise InstallError("command-missing", message, evidence=join(argv)) from error
        _groups.add(self.process.pid)
        self.takers: dict[IO[bytes], Taker] = {}
        self.pending: list[memoryview] = []
        self.has_room: Callable[[], bool] = lambda: True
        """Whether what it prints can be taken now."""

    @property
    def exit_code(self) -> int:
        return int(self.process.returncode)

    @property
    def is_under_way(self) -> bool:
        """Whether it runs, or something that it left running still holds its output."""
        return self.process.returncode is None or bool(self.takers)

    @property
    def input(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def signal(self, number: int) -> None:
        """Signal the command and all that it started: its group outlives it, and nobody else can have that id then."""
        with suppress(OSError):
            os.killpg(self.process.pid, number)

    def read(self, pipe: IO[bytes]) -> None:
        if chunk := os.read(pipe.fileno(), _CHUNK_BYTES):
            self.takers[pipe](chunk)
        else:
            self.finish(pipe)

    def finish(self, pipe: IO[bytes]) -> None:
        self.takers.pop(pipe)(b"")
        pipe.close()

    def write(self) -> None:
        chunk = self.pending[0]
        try:
            rest = chunk[os.write(self.input.fileno(), chunk) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more; why is seen by its exit code
            chunk = rest = memoryview(b"")
        self.pending[:1] = [rest] if rest else []
        if not chunk:
            self.pending.clear()
            self.input.close()

    def end(self) -> None:
        """End the command if it still runs, with all that it started, and close its pipes."""
        try:
            if self.process.poll() is None:
                try:
                    self.signal(signal.SIGTERM)
                    with suppress(subprocess.TimeoutExpired):
                        self.process.wait(GRACE_S)
                finally:  # what it started may ignore the first signal
                    self.signal(signal.SIGKILL)
                    self.process.wait()
        finally:
            _groups.discard(self.process.pid)
            for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr)):
                with suppress(OSError, ValueError):
                    pipe.close()


class Supervisor(ExitStack):
    """Moves what commands read and print until all have ended, and leaves none behind. Raises CancelledError."""

    def __init__(self, ctx: StepContext | None, timeout_s: float, grace_s: float = GRACE_S) -> None:
        super().__init__()
        if ctx is not None:
            ctx.raise_if_cancelled()
        self._ctx, self._timeout_s, self._grace_s, self._began = ctx, timeout_s, grace_s, time.monotonic()
        self._children: list[Child] = []
        self._ending: list[Child] = []
        self.before_exchange: Callable[[], None] = lambda: None
        """Called again and again until all have ended, before their bytes are moved."""

    def add(self, child: Child, take: Taker, take_errors: Taker | None = None) -> Child:
        """Take charge of a command that was started; `take` gets its stdout, `take_errors` its stderr."""
        self._children.append(child)
        self.callback(child.end)
        for pipe, taker in ((child.process.stdout, take), (child.process.stderr, take_errors)):
            if pipe is not None and taker is not None:
                child.takers[pipe] = taker
        if child.process.stdin is not None:
            os.set_blocking(child.input.fileno(), False)
        return child

    def attend(self, evidence: Callable[[], str] = str, *, retryable: bool = True) -> None:
        """Return when all have ended, and record them. Raises CancelledError, and InstallError `command-timeout`."""
        with self._ctx.on_cancel(self._ask_to_end) if self._ctx else nullcontext():
            in_time = self._move()
        if self._ctx is not None:
            for child in self._children:
                self._ctx.command(child.argv, child.exit_code, time.monotonic() - self._began)
            self._ctx.raise_if_cancelled()
        if not in_time:
            message = f"`{join(self._children[0].argv)}` did not end within {self._timeout_s:g} s."
            raise InstallError("command-timeout", message, evidence(), retryable=retryable)

    def _ask_to_end(self) -> None:
        self._ending.extend(child for child in self._children if child.is_under_way)
        for child in tuple(self._ending):
            child.signal(signal.SIGTERM)

    def _move(self) -> bool:
        """Move bytes until all have ended; return whether that was in time."""
        clock = SuspendAwareClock(SystemClock())
        deadline, kill_at, in_time = clock.monotonic() + self._timeout_s, float("inf"), True
        while any(child.is_under_way for child in self._children):
            self.before_exchange()
            _exchange([child for child in self._children if child.is_under_way])
            now = clock.monotonic()
            if now > deadline and not self._ending:
                in_time = False
                self._ask_to_end()
            if self._ending:
                kill_at = min(kill_at, now + self._grace_s)
            if now > kill_at:
                break
        for child in self._ending:  # what ignores SIGTERM, and what they started
            child.signal(signal.SIGKILL)
        for child in self._children:
            child.process.wait()
            for pipe in tuple(child.takers):  # what was said without the end of a line counts too
                child.finish(pipe)
        return in_time


def _exchange(children: Sequence[Child]) -> None:
    """Wait at most `_LOOK_S` for something that can be read or written, and move it."""
    running = [child for child in children if child.process.poll() is None]
    writers = {child.input: child for child in children if child.pending}
    readers = {pipe: child for child in children if child.has_room() for pipe in child.takers}
    if not readers and not writers:
        if running:
            with suppress(subprocess.TimeoutExpired):
                running[0].process.wait(_LOOK_S)
        return
    readable, writable, _ = select.select(list(readers), list(writers), [], _LOOK_S)
    for pipe in writable:
        writers[pipe].write()
    for pipe in readable:
        readers[pipe].read(pipe)
    if not readable and not writable:
        for pipe, child in readers.items():
            if child not in running:
                child.finish(pipe)
