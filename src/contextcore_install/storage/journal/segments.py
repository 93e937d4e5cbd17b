"""The segments of a journal: the file that grows, and what was moved out of it to be kept compressed.

    journal.jsonl                               grows
    journal-<start>.jsonl                       was rotated and is being compressed; counts until it is removed
    journal/<start>-<end>.jsonl.gz              whole lines, never changed again

Together they are one stream of bytes, and a position in it never changes: whoever kept one finds the same event there.
`storage/journal/compaction.py` makes the segments, in an order in which a crash anywhere leaves one meaning.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.storage.files import UnreadableFileError, entries_of, open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

MAX_LINE_BYTES = 4 * 1024 * 1024
SEGMENT_BYTES = 1024 * 1024  # how long a journal grows, and a segment is before it is compressed: some 500 quiet runs
_COMPRESSED = r"(\d{12,18})-(\d{12,18})\.jsonl\.gz"
_ROTATED = r"journal-(\d{12,18})\.jsonl"
_TRIES = 100  # to look at a journal whose segments another process is moving; it moves a few in a thousand runs


@dataclass(frozen=True, slots=True)
class Segment:
    """The bytes from `start` to `end` of the stream. The segment that grows has no end."""

    path: Path
    start: int
    end: int | None = None

    @property
    def is_compressed(self) -> bool:
        return self.path.suffix == ".gz"


def segments_folder(journal: Path) -> Path:
    """Return the folder with a journal's compressed segments."""
    return journal.with_suffix("")


def past_segments(journal: Path) -> list[Segment]:
    """Return the segments that do not grow, in their order; raises InstallError."""
    # Looked for first: it is removed when all of it is compressed, so what it lacks is found after it.
    rotated = _rotated(journal)
    segments: list[Segment] = []
    for segment in compressed_segments(journal):
        if segment.start >= end_of(segments) and not (rotated and segment.start >= rotated.start):
            segments.append(segment)
    return [*segments, rotated] if rotated else segments


def compressed_segments(journal: Path) -> list[Segment]:
    """Return all compressed segments, sorted, those of a rotated file included, which do not count yet."""
    folder = segments_folder(journal)
    matches = [match for entry in entries_of(folder) if (match := re.fullmatch(_COMPRESSED, entry.name))]
    segments = [Segment(folder / match[0], int(match[1]), int(match[2])) for match in matches]
    return sorted((each for each in segments if each.start < (each.end or 0)), key=lambda each: each.start)


def end_of(segments: list[Segment]) -> int:
    """Return where the last of the segments ends; 0 if there is none."""
    return (segments[-1].end or 0) if segments else 0


def growing_start(journal: Path) -> int:
    """Return where in the stream the file that grows begins; the caller holds the lock."""
    return end_of(past_segments(journal))


def _rotated(journal: Path) -> Segment | None:
    for entry in entries_of(journal.parent):
        match = entry.name.startswith(f"{journal.stem}-") and re.fullmatch(_ROTATED, entry.name)
        with suppress(OSError):
            if match:
                start = int(match[1])
                return Segment(Path(entry.path), start, start + entry.stat(follow_symlinks=False).st_size)
    return None


class OpenSegment:
    """A segment, open for reading from a `position` in the stream on.

    As a context manager it is closed at the end of the block, which ends at the first damage: a compressed file that is
    cut short or altered.
    """

    def __init__(self, segment: Segment, file: BufferedReader, position: int) -> None:
        self.segment = segment
        self.position = position
        self.size = os.fstat(file.fileno()).st_size
        self._holds = file
        self._file = file
        if segment.is_compressed:
            import gzip  # most readers are content with the file that grows

            # The reader around it makes its lines at C's speed.
            self._file = BufferedReader(gzip.GzipFile(fileobj=file), 65_536)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        self._file.close()
        self._holds.close()
        # `gzip.BadGzipFile` is an OSError without a number.
        return isinstance(error, EOFError | zlib.error) or (isinstance(error, OSError) and error.errno is None)

    def seek(self, position: int) -> BufferedReader:
        """Return the content from a position in the stream on."""
        self._file.seek(position - self.segment.start)
        return self._file

    def lines(self) -> Iterator[tuple[int, int, bytes, bool]]:
        """Yield each line's position, its size, as much of it as is kept, and whether it has an end."""
        position, file = self.position, self.seek(self.position)
        while line := file.readline(MAX_LINE_BYTES):
            size, last = len(line), line
            while not last.endswith(b"\n") and (last := file.readline(MAX_LINE_BYTES)):
                size += len(last)
            yield position, size, line, last.endswith(b"\n")
            position += size


def open_at(journal: Path, position: int) -> OpenSegment | None:
    """Open the segment with the byte at a position, or the next one if a segment is lost.

    None if the stream has no such place. Raises InstallError, and UnreadableFileError if the file that grows is not a
    regular one.
    """
    for _ in range(_TRIES):
        descriptor, past = look(journal)
        if position < end_of(past):
            if descriptor is not None:
                os.close(descriptor)
            segment = next(each for each in past if (each.end or 0) > position)
            descriptor = _open_past(segment)
            if descriptor is None:
                continue  # it has just been compressed
            return OpenSegment(segment, os.fdopen(descriptor, "rb"), max(position, segment.start))
        if descriptor is None:
            return None
        opened = OpenSegment(Segment(journal, end_of(past)), os.fdopen(descriptor, "rb"), position)
        if position - opened.segment.start <= opened.size:
            return opened
        with opened:
            return None  # a place in another journal
    raise UnreadableFileError("its segments keep moving")


def look(journal: Path) -> tuple[int | None, list[Segment]]:
    """Return the file that grows, open, and the other segments, as they are at one moment; raises as `open_at`."""
    for _ in range(_TRIES):
        descriptor = open_regular(journal)
        past = past_segments(journal)
        if _is_current(journal, descriptor):
            return descriptor, past
        if descriptor is not None:
            os.close(descriptor)
    raise UnreadableFileError("its segments keep moving")


def _is_current(journal: Path, descriptor: int | None) -> bool:
    try:
        facts = journal.lstat()
    except OSError:
        return descriptor is None
    return descriptor is not None and os.path.samestat(facts, os.fstat(descriptor))


def _open_past(segment: Segment) -> int | None:
    try:
        return open_regular(segment.path)
    except UnreadableFileError:  # others put that there: it reads as a segment that is cut short
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
