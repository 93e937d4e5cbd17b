"""Runs short commands for what they print: stdout and stderr apart, bounded in time, ended when the step is to end.

`process.run` is for commands whose output people follow; these are for answers that a program reads.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.system.process import tracked

#: Seconds that a command gets to end when it is asked to.
GRACE_S = 2.0


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

    Raises InstallError `command-missing` and `command-timeout`; CancelledError when the step is to end.
    """
    if ctx is not None:
        ctx.raise_if_cancelled()
    began = time.monotonic()
    process = _start(argv, environ, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)

    def end() -> None:
        _signal(process, signal.SIGTERM)

    try:
        with tracked(process.pid), process, ctx.on_cancel(end) if ctx is not None else nullcontext():
            stdout, stderr = _communicate(process, argv, stdin, timeout_s)
    finally:
        if ctx is not None and process.returncode is not None:
            ctx.command(argv, process.returncode, time.monotonic() - began)
    if ctx is not None:
        ctx.raise_if_cancelled()
    return Captured(tuple(argv), process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _communicate(
    process: subprocess.Popen[bytes], argv: Sequence[str], stdin: str | None, timeout_s: float
) -> tuple[bytes, bytes]:
    try:
        return process.communicate(None if stdin is None else stdin.encode(), timeout_s)
    except subprocess.TimeoutExpired as error:
        _signal(process, signal.SIGKILL)
        raise InstallError(
            "command-timeout", f"`{shlex.join(argv)}` did not end within {timeout_s:g} s.", retryable=True
        ) from error
    except BaseException:
        _signal(process, signal.SIGKILL)
        raise


class Follower:
    """A command that goes on printing; its lines are handed on as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._stderr: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def lines(self) -> Iterator[str]:
        """Yield the lines of stdout until the command closes it."""
        assert self._process.stdout is not None
        with suppress(ValueError):  # `end` closes it
            for raw in self._process.stdout:
                yield raw.decode(errors="replace").rstrip("\n")

    @property
    def pid(self) -> int:
        """The command's process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the command still runs."""
        return self._process.poll() is None

    def complaint(self) -> str:
        """Return what the command has printed to stderr."""
        self._reader.join(0.2)
        return "\n".join(self._stderr[-20:])

    def end(self) -> None:
        """End the command."""
        _signal(self._process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        _signal(self._process, signal.SIGKILL)
        self._process.wait()
        self._reader.join(GRACE_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError, ValueError):
                    pipe.close()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            self._stderr.append(raw.decode(errors="replace").rstrip())
            del self._stderr[:-40]


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
    return Follower(_start(["/bin/sh", "-c", _WITH_US, "sh", *argv], environ, stdin=subprocess.PIPE))


@contextmanager
def following(argv: Sequence[str], *, environ: Mapping[str, str]) -> Iterator[Follower]:
    """Start a command that goes on printing, and end it with the block. Raises InstallError `command-missing`."""
    follower = start_beside(argv, environ=environ)
    with tracked(follower.pid):
        try:
            yield follower
        finally:
            follower.end()


def _start(argv: Sequence[str], environ: Mapping[str, str], *, stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ), start_new_session=True
        )
    except OSError as error:
        raise InstallError(
            "command-missing", f"`{argv[0]}` cannot be started: {error.strerror}.", evidence=shlex.join(argv)
        ) from error


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    # Not after its end was noticed: the group's id may then be another's.
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, number)
