"""One run at a time a cluster: a lock that ends with its owner, and says who that is."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.hints import own
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular, unusable
from contextcore_install.system.files import write_all

PATIENCE_S = 0.3
"""How long to try: `holder` of another process holds the lock for an instant while it looks."""


class Lock:
    """An flock on a file that holds its owner's description. Released on close and on death."""

    def __init__(self, path: Path, owner: Mapping[str, Any]) -> None:
        """Take the lock; raises InstallError (exit code 5) with the owner when it is held, 4 where none can be."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._take(path):
            if time.monotonic() > deadline:
                raise _held(path)
            time.sleep(0.02)
        try:
            os.ftruncate(self._descriptor, 0)
            write_all(self._descriptor, json.dumps(dict(owner)).encode())
        except OSError as error:
            self.release()
            raise unusable(path, error) from error

    def _take(self, path: Path) -> bool:
        self._descriptor, taken = _open(path), False
        try:
            taken = _try(path, self._descriptor, fcntl.LOCK_EX) and _is_still(path, self._descriptor)
        finally:
            if not taken:
                os.close(self._descriptor)
        return taken

    def release(self) -> None:
        """Let the next one in."""
        with suppress(OSError):  # told by some disks of what was written; the lock is released all the same
            os.close(self._descriptor)


@contextmanager
def hold_briefly(path: Path, limit_s: float) -> Iterator[None]:
    """Hold a lock for a moment once it is free; after so many seconds go on without it. Raises InstallError."""
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + limit_s
        while not _try(path, descriptor, fcntl.LOCK_EX) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> dict[str, Any] | None:
    """Return the description of the run that holds the lock; None when none does, or none can."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try(path, descriptor, fcntl.LOCK_SH) else _owner(path)
    except InstallError:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise _no_lock(path, error) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _no_lock(path, OSError(errno.ENXIO, "it is not a regular file"))


def _no_lock(path: Path, error: OSError) -> InstallError:
    refused = unusable(path, error)
    if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
        refused.hint = f"move it away: {shlex.join(['mv', str(path), f'{path}.aside'])}"
    return refused


def _try(path: Path, descriptor: int, operation: int) -> bool:
    """Return whether the lock is ours now; raises InstallError where the file system knows no locks, say."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise unusable(path, error) from error
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file that was locked is still the one at the path: `delete` removes it."""
    try:
        there = path.lstat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino)


def _owner(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(read_regular(path) or b"")
    except (UnreadableFileError, InstallError):
        return {}
    return document if isinstance(document, dict) else {}


def _held(path: Path) -> InstallError:
    owner = _owner(path)
    who = f"process {owner.get('pid', '?')} on {owner.get('host', 'this machine')}, since {owner.get('since', '?')}"
    return InstallError(
        "locked",
        f"another run is at work on this cluster: {who}",
        evidence=str(owner.get("command", "")),
        hint=f"watch it: {own('--attach')}",
        exit_code=ExitCode.LOCKED,
    )
