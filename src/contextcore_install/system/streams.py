"""Runs commands that read from a file or write into one, bytes as they are: copies of volumes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import IO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.system.process import tracked

#: Bytes of complaints that are kept.
KEEP_BYTES = 8192
GRACE_S = 5.0


def stream(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
    ctx: StepContext | None = None,
    fine: frozenset[int] = frozenset({0}),
) -> None:
    """Run a command with a file as its input or output, to its end.

    Raises InstallError `command-missing`, `command-timeout`, and `command-failed` for an exit code that is not `fine`;
    CancelledError when the step is to end.
    """
    if ctx is not None:
        ctx.raise_if_cancelled()
    if source is not None:
        os.lseek(source.fileno(), 0, os.SEEK_SET)  # the command reads the descriptor, not our buffer
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=source if source is not None else subprocess.DEVNULL,
                stdout=sink if sink is not None else subprocess.DEVNULL,
                stderr=complaints,
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            raise InstallError(
                "command-missing", f"`{argv[0]}` cannot be started: {error.strerror}.", shlex.join(argv)
            ) from error

        def end() -> None:
            with suppress(OSError):
                process.send_signal(signal.SIGTERM)

        with tracked(process.pid), ctx.on_cancel(end) if ctx is not None else nullcontext():
            code = _wait(process, timeout_s)
        if ctx is not None:
            ctx.raise_if_cancelled()
        if code in fine:
            return
        complaints.seek(0)
        said = complaints.read(KEEP_BYTES).decode(errors="replace").strip()
    if code is None:
        raise InstallError("command-timeout", f"`{shlex.join(argv)}` did not end within {timeout_s:g} s.", said)
    raise InstallError("command-failed", f"`{shlex.join(argv)}` failed with exit code {code}.", said)


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None
    except BaseException:
        process.kill()
        process.wait()
        raise
