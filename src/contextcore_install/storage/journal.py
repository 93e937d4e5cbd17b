"""The journal: events as JSON lines, appended and synced. It is the truth; all else is made from it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from contextcore_install.core.events import Event, event_from_document
from contextcore_install.storage.files import (
    UnreadableFileError,
    open_regular,
    parse_json,
    set_aside,
    unusable,
)
from contextcore_install.storage.mark import START, Mark
from contextcore_install.tools.files import sync_folder, write_all

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_JOURNAL_BYTES = 4 * 1024 * 1024 * 1024
"""A run leaves a few kilobytes: what is larger than this is no journal of ours."""

_RECORD_START = b'{"number":'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str).encode


@dataclass(slots=True)
class Damage:
    """Lines of a journal that hold no event, and where its good part ends."""

    lines: int = 0
    good_bytes: int = 0
    torn_tail: bool = False


class JournalReader:
    """Reads a journal that another process may be appending to: whole lines only, bad ones skipped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = Damage()

    def read(self, position: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield (position, event) from a byte position on; nothing where there is no journal.

        Raises InstallError when the file cannot be read, UnreadableFileError when it is no regular file.
        """
        self.damage = Damage(good_bytes=position)
        descriptor = open_regular(self._path)
        if descriptor is None:
            return
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            if position > size:
                return  # a place in another journal
            if size > MAX_JOURNAL_BYTES:
                raise UnreadableFileError(f"it is larger than {MAX_JOURNAL_BYTES} bytes")
            file.seek(position)
            while line := file.readline(MAX_LINE_BYTES):
                size, ended = len(line), line.endswith(b"\n")
                if not ended:
                    size, ended = _skip_line(file, size)
                if not ended and _is_torn_record(line):
                    self.damage.torn_tail = True
                    return
                event = _event(line) if size == len(line) else None
                if event is None:
                    self.damage.lines += 1
                else:
                    yield position, event
                position += size
                self.damage.good_bytes = position


class JournalWriter:
    """Appends to a journal. Whoever opens one holds the cluster's lock."""

    def __init__(self, path: Path, mark: Mark = START) -> None:
        self._path = path
        self.mark = mark
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
        line = (_encode(event.as_document()) + "\n").encode("utf-8", "backslashreplace")
        try:
            write_all(self._descriptor, line)
        except OSError as error:
            with suppress(OSError):  # a torn tail, then: the next run cuts it off
                os.ftruncate(self._descriptor, self.mark.bytes)
            raise unusable(self._path, error) from error
        self.mark = Mark(event.number, self.mark.bytes + len(line), event.at_us)

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
    in the middle are no crash's doing: the file is set aside whole, and its events written anew.
    """
    damage = reader.damage
    if damage.lines:
        events = [event for _, event in reader.read()]
        aside = set_aside(path)
        writer = JournalWriter(path)
        for event in events:
            writer.append(event)
        writer.close()
        return aside
    if damage.torn_tail:
        try:
            os.truncate(path, damage.good_bytes)
        except OSError as error:
            raise unusable(path, error) from error
    return None


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
