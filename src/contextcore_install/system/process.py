"""Runs commands to their end: streamed, bounded in time, ended with all they started when the step is to end."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.suspend_aware_clock import SuspendAwareClock
from contextcore_install.system.clock import SystemClock

#: Lines of output that are kept for the error message.
KEEP_LINES = 40
#: Seconds that a command gets to end when it is asked to, before it is made to.
GRACE_S = 5.0
#: Seconds to go on reading when a command has ended and something it left behind holds its output open.
_TAIL_S = 0.2

_groups: set[int] = set()
"""Process groups of commands that run now. A plain set, so that a signal handler can walk a copy without a lock."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended; `exit_code` is negative for a signal, `lines` are the last it printed."""

    argv: tuple[str, ...]
    exit_code: int
    lines: tuple[str, ...]


@contextmanager
def tracked(pid: int) -> Iterator[None]:
    """Within the block, count a command that leads its own process group among those that a hard exit ends."""
    _groups.add(pid)
    try:
        yield
    finally:
        _groups.discard(pid)


def kill_all_children() -> None:
    """End at once every command that `run` has under way, with all that these started. For a hard exit."""
    for group in tuple(_groups):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def run(
    argv: Sequence[str],
    ctx: StepContext | None = None,
    *,
    timeout_s: float = 600.0,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    keep: Sequence[int] = (),
) -> Completed:
    """Run a command, hand its lines (stdout and stderr as one) to `ctx.output`, and return how it ended.

    Raises InstallError `command-missing` when it cannot be started, `command-timeout` after `timeout_s` seconds, and
    `command-failed` for an exit code other than 0 unless `check` is off; CancelledError when the step is to end.
    `keep` are file descriptors that the command inherits: should we be killed, a lock that we hold stays held until it
    has ended as well.
    """
    command = _Command(tuple(argv), ctx, tuple(keep))
    if ctx is not None:
        ctx.raise_if_cancelled()
    began = time.monotonic()
    completed = command.run(began + timeout_s, environ, cwd)
    if ctx is not None:
        ctx.command(argv, completed.exit_code, time.monotonic() - began)
        ctx.raise_if_cancelled()
    if command.timed_out:
        raise InstallError(
            "command-timeout",
            f"`{shlex.join(argv)}` did not end within {timeout_s:g} s.",
            evidence="\n".join(completed.lines),
            retryable=True,
        )
    if check and completed.exit_code != 0:
        raise failure(completed)
    return completed


def failure(completed: Completed) -> InstallError:
    """Return the error for a command that failed."""
    code = completed.exit_code
    how = f"was ended by {signal_name(-code)}" if code < 0 else f"failed with exit code {code}"
    return InstallError(
        "command-failed",
        f"`{shlex.join(completed.argv)}` {how}.",
        evidence="\n".join(completed.lines) or "It printed nothing.",
        retryable=True,
    )


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass
class _Command:
    argv: tuple[str, ...]
    ctx: StepContext | None
    keep: tuple[int, ...] = ()
    timed_out: bool = False
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEEP_LINES))
    _rest: bytes = b""
    _asked: threading.Event = field(default_factory=threading.Event)

    def run(self, deadline: float, environ: Mapping[str, str] | None, cwd: Path | None) -> Completed:
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=None if environ is None else dict(environ),
                cwd=cwd,
                pass_fds=self.keep,
                start_new_session=True,
            )
        except OSError as error:
            raise InstallError(
                "command-missing",
                f"`{self.argv[0]}` cannot be started: {error.strerror}.",
                evidence=shlex.join(self.argv),
            ) from error
        with tracked(process.pid), process, self._told(process):
            self._read(process, deadline)
            self._end(process)
        return Completed(self.argv, process.returncode, tuple(self._lines))

    def _told(self, process: subprocess.Popen[bytes]) -> AbstractContextManager[None]:
        """Ask the command to end as soon as the step is to end; the reading below sees it through."""

        def ask() -> None:
            self._asked.set()
            _signal_group(process, signal.SIGTERM)

        return self.ctx.on_cancel(ask) if self.ctx is not None else nullcontext()

    def _read(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        give_up: float | None = None
        clock = SuspendAwareClock(SystemClock())
        while True:
            ready, _, _ = select.select([descriptor], [], [], _TAIL_S)
            if ready:
                chunk = os.read(descriptor, 65_536)
                if not chunk:
                    break
                self._take(chunk)
            elif process.poll() is not None:
                break
            now = clock.monotonic()
            if give_up is None and (self._asked.is_set() or now > deadline):
                self.timed_out = not self._asked.is_set()
                _signal_group(process, signal.SIGTERM)
                give_up = now + GRACE_S
            if give_up is not None and now > give_up:
                break
        self._take(b"\n" if self._rest else b"")
        # With its output closed a command may still run; it is held to the same limit.
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, (give_up if give_up is not None else deadline) - clock.monotonic()))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            self.timed_out = self.timed_out or not self._asked.is_set()
        if process.poll() is None or self._asked.is_set() or self.timed_out:
            _signal_group(process, signal.SIGKILL)
        process.wait()

    def _take(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for raw in whole:
            # A progress bar rewrites its line with carriage returns: the last state is what counts.
            line = raw.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
            if line.strip():
                self._lines.append(line)
                if self.ctx is not None:
                    self.ctx.output(line)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a command and all that it started: its group outlives it, and no other can have that id meanwhile."""
    with suppress(OSError):
        os.killpg(process.pid, number)
