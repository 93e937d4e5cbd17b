"""An flock on a file that says who holds it: it ends with its owner, and with every process that inherited it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from contextcore_install.system.files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAX_OWNER_BYTES = 65_536


def acquire(path: Path, wait: Callable[[], None], owner: Mapping[str, Any] | None = None) -> int:
    """Lock a file, made if it is missing, and return its descriptor: the lock is released when that is closed.

    `wait` is called between two tries and ends them by raising; `owner` is written into the file. Raises OSError, with
    ENXIO for what is not a regular file.
    """
    while True:
        descriptor, held = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600), False
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENXIO, "it is not a regular file", str(path))
            if _try(descriptor, fcntl.LOCK_EX) and _is_current(path, descriptor):
                if owner is not None:
                    os.ftruncate(descriptor, 0)
                    write_all(descriptor, json.dumps(dict(owner)).encode())
                held = True
                return descriptor
        finally:
            if not held:
                os.close(descriptor)
        wait()


@contextmanager
def held(path: Path, wait: Callable[[], None]) -> Iterator[int]:
    """Hold a lock within the block, and give its descriptor; takes and raises what `acquire` does."""
    descriptor = acquire(path, wait)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> dict[str, Any] | None:
    """Return what the process that holds a lock has written into it, empty if unreadable; None if none holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or _try(descriptor, fcntl.LOCK_SH):
            return None
        document = json.loads(os.read(descriptor, MAX_OWNER_BYTES))
    except OSError:
        return None
    except (ValueError, RecursionError):
        return {}
    finally:
        os.close(descriptor)
    return document if isinstance(document, dict) else {}


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(path: Path, descriptor: int) -> bool:
    """Tell whether the file that was locked is still the one at the path: it may have been removed meanwhile."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
