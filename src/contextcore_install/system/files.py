"""Files that are whole or not there, and that are what they seem: no link is followed, and no FIFO waited for."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from contextcore_install.core.errors import MACHINE_REFUSES, InstallError, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNFINISHED = ".new"
"""How the name of a file ends that is being written; after a crash it is left over, and `sweep` removes it."""


@contextmanager
def writing(
    place: Path, code: str = "folder-unwritable", what: str = "", hints: Mapping[int, str] = MACHINE_REFUSES
) -> Iterator[None]:
    """Within the block, turn OSError into an InstallError: what cannot be done at a place, why, and what helps.

    `hints` are by errno; for all others the hint is to look at the place.
    """
    try:
        yield
    except OSError as error:
        # What is there can be at fault; a temporary file that could not be made has a name that says nothing.
        named = error.filename2 or error.filename
        at_fault = named if named and os.path.lexists(named) else place
        message = f"{what or f'{at_fault} cannot be written'}: {error.strerror or error}."
        look = f"df -h {quoted(str(place))}; ls -ld {quoted(str(place))}"
        raise InstallError(code, message, str(error), hints.get(error.errno or 0, look)) from error


def make_cache_folder(folder: Path) -> None:
    """Make a folder for what can be made again, inside a home that is there and no link. Raises OSError."""
    if folder.parent.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder.parent))
    folder.mkdir(mode=0o700, exist_ok=True)


def write_atomically(path: Path, content: str | bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Replace a file, mode 0600, so that a reader, or a crash, meets the old content or the new. Raises OSError.

    Content may come in pieces, which are made while it is written. With `durable` the new content survives a power cut
    when this returns.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    pieces = [content.encode()] if isinstance(content, str) else [content] if isinstance(content, bytes) else content
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                write_all(descriptor, piece)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes; a write may take only some of them. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


class NotRegularError(OSError):
    """A folder, FIFO, socket or device where a regular file should be."""


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor. Raises OSError, NotRegularError for what is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def read_text(path: Path) -> str:
    """Return the text of a small regular file of ours. Raises OSError, and ValueError for what is no UTF-8."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read().decode("utf-8")


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a small JSON file of ours; None if there is none that can be read."""
    try:
        document = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def tail(path: Path, limit: int, start: int = 0) -> str:
    """Return whole lines of a regular file's end, within its last `limit` bytes and those behind `start`.

    Raises OSError.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = start if start <= size else 0
        begin = max(start, size - limit)
        file.seek(begin)
        content = file.read(limit)
    whole_lines = content.partition(b"\n")[2] if begin > start else content
    return (whole_lines or content).decode("utf-8", errors="replace")


def last_lines(path: Path, count: int, *, start: int = 0, limit: int = 65_536) -> list[str]:
    """Return the last `count` lines of a text file, from the byte `start` on and within its last `limit` bytes.

    There are none if it cannot be read.
    """
    with suppress(OSError):
        return [line for line in tail(path, limit, start).splitlines() if line.strip()][-count:]
    return []


def sweep(folder: Path) -> None:
    """Remove what writers left over in a folder when they were killed. No writer may be at work there."""
    for leftover in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            leftover.unlink()


def discard(path: Path) -> None:
    """Remove a file or folder, also one that its owner has closed; what cannot be removed stays."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink()
        return
    _open_to_owner(path)
    for folder, names, _ in os.walk(path):
        for name in names:
            _open_to_owner(Path(folder, name))
    from shutil import rmtree  # brings compression

    rmtree(path, ignore_errors=True)


def _open_to_owner(folder: Path) -> None:
    with suppress(OSError):
        if not folder.is_symlink():
            folder.chmod(0o700)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, if the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
