"""flocks, which end with their owner and every process that inherited them: on files, and on temporary folders.

A file says who holds it; a folder whose owner was killed is removed by the next that makes one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from contextcore_install.system.files import discard, open_regular, write_all, writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAX_OWNER_BYTES = 65_536
GETTING = ".getting-"
"""How the names of folders begin in which tools are downloaded and tried out."""


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
    """Hold a lock within the block, and give its descriptor: who inherits that, and outlives us, holds the lock.

    Raises InstallError `folder-unwritable`, and what `wait` raises.
    """
    with writing(path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = acquire(path, wait)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> dict[str, Any] | None:
    """Return what the process that holds a lock has written into it, empty if unreadable; None if none holds it."""
    with suppress(OSError), os.fdopen(open_regular(path), "rb") as file:
        if _try(file.fileno(), fcntl.LOCK_SH):
            return None
        with suppress(ValueError, RecursionError):
            document = json.loads(file.read(MAX_OWNER_BYTES))
            return document if isinstance(document, dict) else {}
        return {}
    return None


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


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a private folder below `parent` that is removed with all that is in it. Raises OSError.

    Its owner holds a lock on it while it lives, which ends with its process however that ends.
    """
    sweep_work_folders(parent, prefix)
    folder, descriptor = _made(parent, prefix)
    try:
        yield folder
    finally:
        discard(folder)
        os.close(descriptor)


def sweep_work_folders(parent: Path, prefix: str) -> None:
    """Remove the folders of ours below `parent` whose owners live no more."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                _remove_if_left(Path(entry.path))


def _made(parent: Path, prefix: str) -> tuple[Path, int]:
    from tempfile import mkdtemp

    while True:
        folder = Path(mkdtemp(prefix=prefix, dir=parent))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # somebody took it for one that was left, before it was locked
            continue
        with suppress(OSError):  # not every file system knows locks; nothing is swept there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder, descriptor
        os.close(descriptor)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        if folder.lstat().st_uid != os.geteuid():
            return
        folder.chmod(0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(folder)
        finally:
            os.close(descriptor)
