"""Runs commands for the bytes that they read or print: from and to files, or from one command to several others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from shlex import join
from typing import IO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.system.capture import Captured
from contextcore_install.system.supervisor import Child, Supervisor

#: Bytes of what each command says that are kept.
KEEP_BYTES = 8192


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
    is cancelled.
    """
    said = [_Tail() for _ in (source, *sinks)]
    readers: list[Child] = []
    total = 0

    def fan_out(chunk: bytes) -> None:
        nonlocal total
        total += len(chunk)
        moved(total)
        reading = [child for child in readers if child.is_under_way and not child.input.closed]
        for child in reading:
            child.pending.append(memoryview(chunk))
        if not reading and first.process.stdout in first.takers:
            first.finish(first.process.stdout)  # it is told by SIGPIPE that nobody reads on

    with Supervisor(ctx, timeout_s) as supervisor:
        first = supervisor.add(Child(source, environ, stderr=subprocess.PIPE), fan_out, said[0].take)
        # What a command that has ended did not read is nobody's any more.
        first.has_room = lambda: not any(child.pending for child in readers if child.is_under_way)
        for argv, tail in zip(sinks, said[1:], strict=True):
            readers.append(supervisor.add(Child(argv, environ, stdin=subprocess.PIPE), tail.take))
        supervisor.attend(lambda: "\n".join(tail.text() for tail in said if tail))
    ended = [
        Captured(one.argv, one.exit_code, "", tail.text()) for one, tail in zip([first, *readers], said, strict=True)
    ]
    return ended[0], ended[1:]
