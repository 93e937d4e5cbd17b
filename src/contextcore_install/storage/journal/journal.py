"""The journal: events as JSON lines, appended and synced. It is the truth; all else is made from it.

Positions are offsets in the stream of all that was ever written to it, whichever segment holds them now
(`storage/journal/segments.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import START, Event, JournalOffset, event_from_document
from contextcore_install.core.text import IN_FILES
from contextcore_install.storage.files import (
    UnreadableFileError,
    json_encoder,
    parse_json,
    quarantine_copy,
    unusable,
    using,
    write_atomically,
)
from contextcore_install.storage.journal.segments import OpenSegment, end_of, growing_start, look, open_at
from contextcore_install.system.files import UNFINISHED, sync_folder, write_all

MAX_JOURNAL_BYTES = 4 * 1024 * 1024 * 1024  # a run leaves a few kilobytes: a larger file is no journal of ours
_NEAR_BYTES = 64 * 1024  # how far back the event is looked for that a state file was made from; few lines are as long
_RECORD_START = b'{"number":'
_encode = json_encoder(",", ":")


@dataclass(slots=True)
class Damage:
    """What is wrong with a journal.

    `lines` of the file that grows hold no event; its good part ends at `good_bytes` of the stream, maybe in a torn
    record. What is lost of compressed segments is missing from the events.
    """

    lines: int = 0
    good_bytes: int = 0
    torn_tail: bool = False


class JournalReader:
    """Reads a journal that another process may be appending to: whole lines only, bad ones skipped.

    `base` is where in the stream the file that grows began when it was read last. All methods raise InstallError, and
    UnreadableFileError if the file that grows is not a regular one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = Damage()
        self.base = 0

    def read(self, position: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield (position, event) from a position on; nothing if there is no journal."""
        self.damage = Damage(good_bytes=position)
        while (opened := open_at(self._path, self.damage.good_bytes)) is not None:
            with opened:
                yield from self._events(opened)
            if opened.segment.end is None:
                return
            self.damage.good_bytes = opened.segment.end

    def size(self) -> int:
        """Return how many bytes the journal has."""
        descriptor, past = look(self._path)
        if descriptor is None:
            return end_of(past)
        try:
            return end_of(past) + os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def near_end(self, most: int) -> int:
        """Return where the first whole line begins in the last `most` bytes."""
        start = self.size() - most
        opened = open_at(self._path, start) if start > 0 else None
        if opened is None:
            return 0
        with opened:
            return opened.position + len(opened.seek(opened.position).readline(most))
        return opened.segment.end or 0

    def reaches(self, offset: JournalOffset) -> bool:
        """Whether the journal has the part that something was made from."""
        if not 0 < offset.bytes <= self.size():
            return False
        line = self._line_before(offset.bytes)
        last = _event(line)
        if not line.endswith(b"\n") or (last and (last.number, last.at_us) != (offset.events, offset.at_us)):
            return False  # another journal, or another end of this one
        _, following = next(self.read(offset.bytes), (0, None))
        return following is None or following.follows(offset.events)

    def _line_before(self, position: int) -> bytes:
        """Return the line that ends at a position, as much of it as is near."""
        opened = open_at(self._path, position - 1)
        if opened is None:
            return b""
        with opened:
            start = max(opened.segment.start, position - _NEAR_BYTES)
            return (opened.seek(start).read(position - start).splitlines(keepends=True) or [b""])[-1]
        return b""

    def _events(self, opened: OpenSegment) -> Iterator[tuple[int, Event]]:
        """Yield the events of a segment; raises EOFError if its end is missing."""
        end, grows = opened.segment.end or 0, opened.segment.end is None
        if grows:
            if opened.size > MAX_JOURNAL_BYTES:
                raise UnreadableFileError(f"it is larger than {MAX_JOURNAL_BYTES} bytes")
            self.base = opened.segment.start
        for position, size, line, ended in opened.lines():
            if grows and not ended and _is_torn_record(line):
                self.damage.torn_tail = True
                return
            event = _event(line) if size == len(line) else None
            if event is not None:
                yield position, event
            elif grows:
                self.damage.lines += 1
            self.damage.good_bytes = position + size
            if not grows and position + size >= end:
                return
        if not grows:
            raise EOFError


def copy_lines(journal: Path, target: BufferedIOBase) -> None:
    """Write all that a journal ever held into one file, its whole lines as they are; raises as `JournalReader.read`."""
    position: int | None = 0
    while position is not None and (opened := open_at(journal, position)) is not None:
        with opened:
            target.writelines(line for _, size, line, ended in opened.lines() if ended and size == len(line))
        position = opened.segment.end


class JournalWriter:
    """The Journal on disk. Whoever opens one holds the cluster's lock."""

    def __init__(self, path: Path, offset: JournalOffset = START) -> None:
        self._path = path
        self.offset = offset
        self._base = growing_start(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with using(path):
            is_new = not path.exists()
            self._descriptor = os.open(path, flags, 0o600)
            if is_new:
                sync_folder(path.parent)

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
        try:
            _sync(self._descriptor)
        except OSError as error:
            raise unusable(self._path, error) from error

    def close(self) -> None:
        """Sync and close; nothing is appended after it."""
        try:
            self.sync()
        finally:
            with suppress(OSError):  # it was synced, or the error is reported
                os.close(self._descriptor)


def repair(path: Path, reader: JournalReader) -> Path | None:
    """Repair a journal that `reader` has just read to its end; return what was quarantined, if anything.

    A torn tail is what a crash in the middle of a write leaves: it is cut off. Lines that hold no event in the middle
    have other causes: the events are written anew, and the file is quarantined whole. The damaged file counts until the
    new one is durable, so that this can be cut off anywhere. Raises InstallError.
    """
    damage, base = reader.damage, reader.base
    if damage.lines:
        anew = path.with_name(f".{path.name}{UNFINISHED}")
        write_atomically(anew, (_line(event) for _, event in reader.read(base)))
        kept = quarantine_copy(path)
        with using(path):
            anew.replace(path)
        sync_folder(path.parent)
        return kept
    if damage.torn_tail:
        with using(path):
            os.truncate(path, damage.good_bytes - base)
    return None


def _is_torn_record(tail: bytes) -> bool:
    """Whether a crash can have left this: the beginning of a record, or blocks never written (NULs)."""
    start = tail[: len(_RECORD_START)]
    return _RECORD_START.startswith(start) or not tail.strip(b"\0")


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
