"""Temporary folders that the next one removes where their owner was killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contextcore_install.system.files import discard

GETTING = ".getting-"
"""How the names of folders begin in which tools are downloaded and tried out."""


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
