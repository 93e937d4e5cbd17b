"""One creation with kind at a time on this machine, and threads that wait for each other."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext

#: Seconds between two looks at a lock that another process holds.
LOOK_S = 0.5


@contextmanager
def alone(path: Path, ctx: StepContext) -> Iterator[int]:
    """Hold the lock on kind, and give its descriptor: a kind that inherits it holds the lock until it ends.

    So a kind that outlives us, killed, is waited for. Raises InstallError `folder-unwritable`, and CancelledError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InstallError(
            "folder-unwritable",
            f"{path} cannot be written: {error.strerror}.",
            hint=f"ls -ld {quote(str(path.parent))}",
        ) from error
    try:
        while not _taken(descriptor):
            ctx.activity("waiting for another creation with kind to end")
            ctx.wait(LOOK_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


class Gate:
    """What one thread waits at until another one says that the way is free."""

    def __init__(self) -> None:
        self._free = threading.Event()

    def open(self) -> None:
        """Let through."""
        self._free.set()

    def wait(self, ctx: StepContext) -> None:
        """Return once the way is free. Raises CancelledError."""
        while not self._free.wait(0.2):
            ctx.raise_if_cancelled()
