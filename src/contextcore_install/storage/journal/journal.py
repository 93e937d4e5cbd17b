"""The journal: events as JSON lines, appended and synced. It is the truth; all else is made from it.

Positions are offsets in the stream of all that was ever written to it, whichever segment holds them now
(`storage/journal/segments.py`).
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from contextcore_install.core.events import START, Event, JournalOffset, event_from_document
from contextcore_install.core.text import IN_FILES
from contextcore_install.storage.files import (
    UnreadableFileError,
    parse_json,
    quarantine_copy,
    unusable,
    write_atomically,
)
from contextcore_install.storage.journal.segments import OpenSegment, growing_start, open_at, size_of
from contextcore_install.system.files import UNFINISHED, sync_folder, write_all

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_JOURNAL_BYTES = 4 * 1024 * 1024 * 1024
"""A run leaves a few kilobytes: what is larger than this is no journal of ours."""

_NEAR_BYTES = 64 * 1024
"""How far back the event is looked for that a state file was made from last; nearly all lines are far shorter."""

_RECORD_START = b'{"number":'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str).encode


_FAILS = (EOFError, OSError, zlib.error)
"""What reading a part may raise."""


def _raise_unless_damaged(error: Exception) -> None:
    """Pass over what is raised for a compressed file that is cut short or altered; `gzip.BadGzipFile` has no errno."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


@dataclass(slots=True)
class Damage:
    """What is wrong with a journal.

    `lines` of the file that grows hold no event; its good part ends at `good_bytes` of the stream, maybe in a torn
    record. `lost` names compressed parts that cannot be read, whole or from some line on.
    """

    lines: int = 0
    good_bytes: int = 0
    torn_tail: bool = False
    lost: list[str] = field(default_factory=list)


class JournalReader:
    """Reads a journal that another process may be appending to: whole lines only, bad ones skipped.

    `base` is where in the stream the file that grows began when it was read last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = Damage()
        self.base = 0

    def read(self, position: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield (position, event) from a position on; nothing where there is no journal.

        Raises InstallError when a file cannot be read, UnreadableFileError when it is no regular file.
        """
        self.damage = Damage(good_bytes=position)
        while (opened := open_at(self._path, self.damage.good_bytes)) is not None:
            part = opened.part
            try:
                opened.seek()
                yield from self._growing(opened) if part.end is None else self._past(opened, part.end)
            except _FAILS as error:
                _raise_unless_damaged(error)
                self.damage.lost.append(part.path.name)
            finally:
                opened.close()
            if part.end is None:
                return
            self.damage.good_bytes = part.end

    def size(self) -> int:
        """Return how many bytes the journal has; raises as `read` does."""
        return size_of(self._path)

    def near_end(self, most: int) -> int:
        """Return where the first whole line begins in the last `most` bytes; raises as `read` does."""
        start = self.size() - most
        opened = open_at(self._path, start) if start > 0 else None
        if opened is None:
            return 0
        try:
            opened.seek()
            return opened.position + len(opened.file.readline(most))
        except _FAILS as error:
            _raise_unless_damaged(error)
            return opened.part.end or 0
        finally:
            opened.close()

    def reaches(self, offset: JournalOffset) -> bool:
        """Whether the journal has the part that something was made from; raises as `read` does."""
        if not 0 < offset.bytes <= self.size():
            return False
        line = self._line_before(offset.bytes)
        last = _event(line)
        if not line.endswith(b"\n") or (last and (last.number, last.at_us) != (offset.events, offset.at_us)):
            return False  # another journal, or another end of this one
        _, following = next(self.read(offset.bytes), (0, None))
        return following is None or following.follows(offset.events)

    def _line_before(self, position: int) -> bytes:
        """Return the line that ends at a position, as much of it as is near; raises as `read` does."""
        opened = open_at(self._path, position - 1)
        if opened is None:
            return b""
        try:
            opened.position = max(opened.part.start, position - _NEAR_BYTES)
            opened.seek()
            return opened.file.read(position - opened.position).splitlines(keepends=True)[-1]
        except IndexError:
            return b""
        except _FAILS as error:
            _raise_unless_damaged(error)
            return b""
        finally:
            opened.close()

    def _growing(self, opened: OpenSegment) -> Iterator[tuple[int, Event]]:
        if os.fstat(opened.file.fileno()).st_size > MAX_JOURNAL_BYTES:
            raise UnreadableFileError(f"it is larger than {MAX_JOURNAL_BYTES} bytes")
        self.base = opened.part.start
        for position, size, line, ended in _lines(opened):
            if not ended and _is_torn_record(line):
                self.damage.torn_tail = True
                return
            event = _event(line) if size == len(line) else None
            if event is None:
                self.damage.lines += 1
            else:
                yield position, event
            self.damage.good_bytes = position + size

    def _past(self, opened: OpenSegment, end: int) -> Iterator[tuple[int, Event]]:
        reached = opened.position
        for position, size, line, _ in _lines(opened):
            event = _event(line) if size == len(line) else None
            if event is not None:
                yield position, event
            reached = position + size
            if reached >= end:
                return
        raise EOFError


def copy_lines(journal: Path, target: BinaryIO) -> None:
    """Write all that a journal ever held into one file, its whole lines as they are; raises as `JournalReader.read`."""
    position: int | None = 0
    while position is not None and (opened := open_at(journal, position)) is not None:
        with closing(opened):
            try:
                opened.seek()
                target.writelines(line for _, size, line, ended in _lines(opened) if ended and size == len(line))
            except _FAILS as error:
                _raise_unless_damaged(error)
        position = opened.part.end


class JournalWriter:
    """Appends to a journal. Whoever opens one holds the cluster's lock."""

    def __init__(self, path: Path, offset: JournalOffset = START) -> None:
        self._path = path
        self.offset = offset
        self._base = growing_start(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            is_new = not path.exists()
            self._descriptor = os.open(path, flags, 0o600)
            if is_new:
                sync_folder(path.parent)
        except OSError as error:
            raise unusable(path, error) from error

    def append(self, event: Event) -> None:
        """Write an event behind the last. What a full disk took of it is taken back."""
        line = _line(event)
        try:
            write_all(self._descriptor, line)
        except OSError as error:
            with suppress(OSError):  # a torn tail, then: the next run cuts it off
                os.ftruncate(self._descriptor, self.offset.bytes - self._base)
            raise unusable(self._path, error) from error
        self.offset = JournalOffset(event.number, self.offset.bytes + len(line), event.at_us)

    def sync(self) -> None:
        """Return when all that was appended survives a power cut."""
        try:
            _sync(self._descriptor)
        except OSError as error:
            raise unusable(self._path, error) from error

    def close(self) -> None:
        """Sync and close; nothing is appended after it."""
        try:
            self.sync()
        finally:
            with suppress(OSError):  # it was synced, or the error is told of
                os.close(self._descriptor)


def repair(path: Path, reader: JournalReader) -> Path | None:
    """Put a journal right that `reader` has just read to its end; return what was set aside, if anything.

    A torn tail is what a crash in the middle of a write leaves: it is cut off. Lines that hold no event
    in the middle are no crash's doing: its events are written anew, and the file is set aside whole.
    The damaged file counts until the new one is durable, so that this can be cut off anywhere. Raises InstallError.
    """
    damage, base = reader.damage, reader.base
    if damage.lines:
        anew = path.with_name(f".{path.name}{UNFINISHED}")
        write_atomically(anew, (_line(event) for _, event in reader.read(base)))
        aside = quarantine_copy(path)
        try:
            anew.replace(path)
        except OSError as error:
            raise unusable(path, error) from error
        sync_folder(path.parent)
        return aside
    if damage.torn_tail:
        try:
            os.truncate(path, damage.good_bytes - base)
        except OSError as error:
            raise unusable(path, error) from error
    return None


def _lines(opened: OpenSegment) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield each line's position, its size, as much of it as is read, and whether it has an end."""
    position, file = opened.position, opened.file
    while line := file.readline(MAX_LINE_BYTES):
        size, ended = len(line), line.endswith(b"\n")
        if not ended:
            size, ended = _skip_line(file, size)
        yield position, size, line, ended
        position += size


def _skip_line(file: BufferedReader, size: int) -> tuple[int, bool]:
    """Read on to the end of a line without keeping it; return its whole size, and whether it had an end."""
    while chunk := file.readline(MAX_LINE_BYTES):
        size += len(chunk)
        if chunk.endswith(b"\n"):
            return size, True
    return size, False


def _is_torn_record(tail: bytes) -> bool:
    """Whether a crash can have left this: the beginning of a record, or blocks never written (NULs)."""
    start = tail[: len(_RECORD_START)]
    return _RECORD_START.startswith(start) or start == _RECORD_START or not tail.strip(b"\0")


def _line(event: Event) -> bytes:
    return (_encode(event.as_document()) + "\n").encode("utf-8", IN_FILES)


def _event(line: bytes) -> Event | None:
    try:
        return event_from_document(parse_json(line))
    except (UnreadableFileError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        # fsync on macOS leaves the data in the drive's cache (man 2 fsync); F_FULLFSYNC does not.
        from fcntl import F_FULLFSYNC, fcntl

        fcntl(descriptor, F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)
