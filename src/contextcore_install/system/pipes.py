"""Pipes what one command prints into several others at the same time, bytes as they are; nothing is kept on disk."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from typing import IO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.suspend_aware_clock import SuspendAwareClock
from contextcore_install.system.capture import Captured
from contextcore_install.system.clock import SystemClock
from contextcore_install.system.process import GRACE_S, tracked

#: Bytes of what each command says that are kept, and bytes that are moved at once.
KEEP_BYTES, CHUNK_BYTES = 8192, 1 << 20
#: Seconds between two looks at the clock.
_LOOK_S = 0.2


def pipe(
    source: Sequence[str],
    sinks: Sequence[Sequence[str]],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    ctx: StepContext | None = None,
    moved: Callable[[int], None] = lambda _: None,
) -> tuple[Captured, list[Captured]]:
    """Run a command and hand what it prints to all the others; return how each ended, and what it said.

    A sink that ends early does not stop the others. `moved` is told how many bytes there have been.

    Raises InstallError `command-missing`, and `command-timeout` after `timeout_s` seconds; CancelledError when the step
    is to end.
    """
    if ctx is not None:
        ctx.raise_if_cancelled()
    began = time.monotonic()
    with ExitStack() as stack:
        first = _Command(source, environ, stack, reads=False)
        others = [_Command(argv, environ, stack, reads=True) for argv in sinks]
        everyone = [first, *others]

        def end() -> None:
            for command in everyone:
                command.signal(signal.SIGTERM)

        stack.enter_context(ctx.on_cancel(end) if ctx is not None else nullcontext())
        clock = SuspendAwareClock(SystemClock())
        deadline = clock.monotonic() + timeout_s
        in_time = _move(first, others, moved, lambda: clock.monotonic() < deadline)
        first.close()  # it is told by SIGPIPE that nobody reads on
        in_time = _wait(everyone, lambda: clock.monotonic() < deadline) and in_time
        ended = [command.captured() for command in everyone]
    if ctx is not None:
        for one in ended:
            ctx.command(one.argv, one.exit_code, time.monotonic() - began)
        ctx.raise_if_cancelled()
    if not in_time:
        raise InstallError(
            "command-timeout",
            f"`{shlex.join(source)}` did not end within {timeout_s:g} s.",
            "\n".join(one.stderr for one in ended if one.stderr),
            retryable=True,
        )
    return ended[0], ended[1:]


class _Command:
    """One of the commands, with what it says in a file that has no name."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], stack: ExitStack, *, reads: bool) -> None:
        self.argv = tuple(argv)
        self.pending = memoryview(b"")
        self._said: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the stack
        try:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=self._said if reads else subprocess.PIPE,
                stderr=self._said,
                env=dict(environ),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise InstallError(
                "command-missing", f"`{argv[0]}` cannot be started: {error.strerror}.", shlex.join(argv)
            ) from error
        end = self.process.stdin if reads else self.process.stdout
        assert end is not None
        self._end = end
        os.set_blocking(self.fileno(), False)
        stack.enter_context(tracked(self.process.pid))
        stack.callback(self._finish)

    def fileno(self) -> int:
        """Return the descriptor of this side of the pipe, as `select` asks for it."""
        return self._end.fileno()

    @property
    def is_open(self) -> bool:
        """Whether this side of the pipe is open."""
        return not self._end.closed

    def close(self) -> None:
        """Close this side of the pipe."""
        with suppress(OSError):
            self._end.close()

    def take(self) -> None:
        """Write what the command will have of what is pending."""
        try:
            self.pending = self.pending[os.write(self.fileno(), self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # it has ended; why is seen by its exit code
            self.pending = memoryview(b"")
            self.close()

    def signal(self, number: int) -> None:
        """Signal the command and all that it started, unless it has ended."""
        if self.process.returncode is None:
            with suppress(OSError):
                os.killpg(self.process.pid, number)

    def captured(self) -> Captured:
        """Return how the command ended."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - KEEP_BYTES))
        said = self._said.read().decode(errors="replace")
        return Captured(self.argv, self.process.returncode, "", said)

    def _finish(self) -> None:
        self.close()
        self.signal(signal.SIGKILL)
        self.process.wait()


def _move(
    source: _Command, sinks: Sequence[_Command], moved: Callable[[int], None], in_time: Callable[[], bool]
) -> bool:
    """Move bytes until the source ends or nobody reads any more; tell whether that was in time."""
    total = 0
    while any(sink.is_open for sink in sinks):
        if not in_time():
            return False
        waiting = [sink for sink in sinks if sink.pending]
        readable, writable, _ = select.select([] if waiting else [source], waiting, [], _LOOK_S)
        for sink in writable:
            sink.take()
        if not readable:
            continue
        chunk = os.read(source.fileno(), CHUNK_BYTES)
        if not chunk:
            break
        total += len(chunk)
        moved(total)
        for sink in sinks:
            if sink.is_open:
                sink.pending = memoryview(chunk)
    for sink in sinks:
        sink.close()
    return True


def _wait(commands: Sequence[_Command], in_time: Callable[[], bool]) -> bool:
    """Wait until all have ended, and end those that are not in time; tell whether all were."""
    late, grace = False, time.monotonic()
    for command in commands:
        while command.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                command.process.wait(_LOOK_S)
            if not late and not in_time():
                late, grace = True, time.monotonic() + GRACE_S
                for one in commands:
                    one.signal(signal.SIGTERM)
            if late and time.monotonic() > grace:
                command.signal(signal.SIGKILL)
    return not late
