"""Runs one program to its end, while someone waits: with a sign of life, and never left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Seconds after which a waiting person wants to see that something still happens.
SIGN_OF_LIFE = 4.0
#: Seconds that a program gets to end when it is asked to.
GRACE = 3.0
#: More than any error message; the rest of a longer output is of no use to anyone.
KEEP_BYTES = 200_000


@dataclass(frozen=True)
class CommandOutcome:
    """How a program ended, with the end of what it wrote to stdout and stderr."""

    returncode: int
    output: str


class WatchedCommand(Protocol):
    """Runs a program and waits for it; raises OSError if it cannot be started."""

    def __call__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> CommandOutcome:
        """Run `argv` in `cwd` with the environment `env` (None: ours)."""
        ...


class WatchedRun:
    """The real `WatchedCommand`.

    `still_waiting` is told every `SIGN_OF_LIFE` seconds what the program wrote last. `keep` are file descriptors
    that the program inherits: should we be killed, a lock we hold stays held until it has ended as well.
    """

    def __init__(self, still_waiting: Callable[[str], None] | None = None, keep: Sequence[int] = ()) -> None:
        self._still_waiting = still_waiting
        self._keep = tuple(keep)
        # Of the whole series of programs, as many short ones keep people waiting just as long.
        self._due = time.monotonic() + SIGN_OF_LIFE

    def __call__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> CommandOutcome:
        """See `WatchedCommand`. Whatever interrupts the waiting ends the program, with all that it started."""
        with subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self._keep,
            start_new_session=True,
        ) as process:
            try:
                output = self._read(process)
                return CommandOutcome(process.wait(), output)
            except BaseException:
                end_group(process)
                raise

    def _read(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        output = b""
        while True:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, self._due - time.monotonic()))
            if ready:
                chunk = os.read(descriptor, 65_536)
                if not chunk:
                    return output.decode(errors="replace")
                output = (output + chunk)[-KEEP_BYTES:]
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + SIGN_OF_LIFE
                if self._still_waiting:
                    self._still_waiting(last_line(output.decode(errors="replace")))


def last_line(output: str) -> str:
    """Return the last line of `output` that says something, shortened to fit a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:120] if lines else ""


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads its own session, and everything in it: kindly first, then at once."""
    for sign, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
