"""Folders as tar streams: written from plain files only, and taken apart without trusting what they say.

The format is POSIX tar (pax). What counts as harmless is decided here alone, for copies that are made and for those
that are put back.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import normpath
from pathlib import Path
from typing import IO

MOST_MEMBERS = 2_000_000
"""Files of one tree; a year of metrics has some thousands."""
_LARGEST_READ = 1024 * 1024
"""Bytes that are read at once. Headers ask for as many as they please: a larger one is refused."""
_CHUNK = 256 * 1024

HEADERS_FAIL = (tarfile.TarError, EOFError, ValueError, LookupError, OverflowError, RecursionError)
"""What `tarfile` raises for headers: by intent, and for numbers, lengths and chains of them as nobody writes them."""


class TreeError(ValueError):
    """A tar that is not taken apart; the message says why."""


class _Bounded:
    """A file that gives no reader more at once than it should need."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.tell = file.tell

    def seek(self, position: int) -> None:
        try:
            self._file.seek(position)
        except OSError:  # no file has such a place
            raise TreeError("it has a header that leads out of it") from None

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise TreeError("it has a header of an absurd size")
        return self._file.read(size)


def write_tree(folder: Path, sink: IO[bytes], *, follow: bool = False) -> int:
    """Write a folder's files as a tar; return how many entries were left out, being neither files nor folders.

    With `follow`, links are read as what they lead to (a snapshot is made of links). Raises OSError.
    """
    left_out = 0
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in _walk(folder, follow=follow):
            facts = path.stat() if follow else path.lstat()
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.mode, member.mtime = stat.S_IMODE(facts.st_mode) & 0o777, facts.st_mtime
            if stat.S_ISDIR(facts.st_mode):
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif stat.S_ISREG(facts.st_mode):
                with path.open("rb") as file:
                    member.size = os.fstat(file.fileno()).st_size
                    tar.addfile(member, file)
            else:
                left_out += 1
    return left_out


def _walk(folder: Path, *, follow: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and (follow or not path.is_symlink()):
            yield from _walk(path, follow=follow)


def check_tree(source: IO[bytes]) -> None:
    """Read a tar from end to end; raises TreeError for anything in it but folders and regular files in their place."""
    with _opened(source) as tar:
        for _ in _accepted(tar):
            pass


def keep_harmless(source: IO[bytes], sink: IO[bytes]) -> int:
    """Copy a tar without what `check_tree` refuses; return how many entries were left out. Raises TreeError."""
    left_out = 0
    with _opened(source) as tar, tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as kept:
        for member, reason in _judged(tar):
            if reason:
                left_out += 1
            else:
                kept.addfile(member, tar.extractfile(member) if member.isreg() else None)
    return left_out


def read_tree(source: IO[bytes], folder: Path, *, links: bool = False) -> None:
    """Lay a tar out in a folder, which this makes and nobody else may write to. Raises TreeError, OSError.

    Files get this user as their owner, and modes without rights for others. With `links`, symbolic links that stay
    inside are made too: at the end, so that nothing is written through one.
    """
    folder.mkdir(mode=0o700)
    last: list[tuple[Path, str]] = []
    with _opened(source) as tar:
        for member in _accepted(tar, links=links):
            target = folder / normpath(member.name)
            if member.issym():
                last.append((target, member.linkname))
                continue
            if member.isdir():
                target.mkdir(mode=0o700, parents=True, exist_ok=True)
                continue
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if member.islnk():
                shutil.copyfile(folder / normpath(member.linkname), target)
            else:
                lay_down(tar.extractfile(member), target, member.mode)
    for target, leads_to in last:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.symlink_to(leads_to)


def lay_down(content: IO[bytes] | None, target: Path, mode: int) -> None:
    """Write a new file, which only its owner may read, and may run if `mode` says so. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600 | (mode & 0o100)), "wb") as file:
        if content:
            shutil.copyfileobj(content, file, _CHUNK)


@contextmanager
def _opened(source: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Give a tar from its beginning, and rewind it; raises TreeError for damage."""
    source.seek(0)
    said = "it is no tar"
    try:
        with tarfile.open(fileobj=_Bounded(source), mode="r:") as tar:  # type: ignore[call-overload]
            said = "it is damaged"
            yield tar
    except TreeError:
        raise
    except HEADERS_FAIL as error:
        raise TreeError(f"{said} ({error})") from None
    source.seek(0)


def _accepted(tar: tarfile.TarFile, *, links: bool = False) -> Iterator[tarfile.TarInfo]:
    for member, reason in _judged(tar, links=links):
        if reason:
            raise TreeError(f"{member.name[:80]!r} {reason}")
        yield member


def _judged(tar: tarfile.TarFile, *, links: bool = False) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Yield each entry with why it is not taken, which is empty if it is harmless."""
    reached = -1
    known: set[str] = set()
    for number, member in enumerate(tar):
        if member.size < 0 or member.offset <= reached:  # what came before would come again, for ever
            raise TreeError("it has a header that leads back")
        reached = member.offset
        if number >= MOST_MEMBERS:
            raise TreeError(f"it holds more than {MOST_MEMBERS} files")
        reason = _reason(member, known, links=links)
        if not reason:
            known.add(normpath(member.name))
        yield member, reason
        tar.members.clear()  # type: ignore[attr-defined] # it keeps all that it has read, a kilobyte each


def _stays_inside(member: tarfile.TarInfo) -> bool:
    """Whether a symbolic link goes up no farther than the tree, and then only down."""
    parts, depth = Path(member.linkname).parts, len(Path(normpath(member.name)).parts) - 1
    ups = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return ups <= depth and not member.linkname.startswith("/") and ".." not in parts[ups:]


def _reason(member: tarfile.TarInfo, known: set[str], *, links: bool) -> str:
    parts = Path(member.name).parts
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        return "leads out of its place"
    if member.islnk():
        return "" if normpath(member.linkname) in known else "is a link to what is not there"
    if links and member.issym():
        return "" if _stays_inside(member) else "is a link that leads out of its place"
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or member.sparse is not None:
        return "is neither a file nor a folder"
    if member.mode & stat.S_ISUID or (member.mode & stat.S_ISGID and not member.isdir()):
        return "would run as another user"
    if normpath(member.name) in known and not member.isdir():
        return "is there twice"
    return ""
