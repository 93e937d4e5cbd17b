"""Where a journal's parts are: the file that grows, and what was moved out of it to be kept compressed.

    journal.jsonl                               grows
    journal-<start>.jsonl                       was moved aside and is being compressed; counts until it is removed
    journal/<start>-<end>.jsonl.gz              whole lines, never changed again

Together they are one stream of bytes, and a position in it never changes: whoever kept one finds the same event there.
`storage/journal/compaction.py` makes the parts, in an order in which a crash anywhere leaves one meaning.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from contextcore_install.storage.files import UnreadableFileError, open_regular, unusable

_PACKED = re.compile(r"(\d{12,18})-(\d{12,18})\.jsonl\.gz")
_ASIDE = re.compile(r"journal-(\d{12,18})\.jsonl")

_LOOKS = 100
"""How often a journal is looked at that another process is moving parts of; it moves a few in a thousand runs."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a journal: the bytes from `start` to `end` of the stream. The one that grows has no end."""

    path: Path
    start: int
    end: int | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether it is compressed."""
        return self.path.suffix == ".gz"


def segments_folder(journal: Path) -> Path:
    """Return the folder with a journal's compressed parts."""
    return journal.with_suffix("")


def rotated_path(journal: Path, start: int) -> Path:
    """Return where a journal is moved that is about to be compressed."""
    return journal.with_name(f"{journal.stem}-{start:012d}{journal.suffix}")


def compressed_path(journal: Path, start: int, end: int) -> Path:
    """Return where a compressed part is."""
    return segments_folder(journal) / f"{start:012d}-{end:012d}.jsonl.gz"


def past_segments(journal: Path) -> list[Segment]:
    """Return the parts that do not grow, in their order; raises InstallError where the system refuses."""
    # Looked for first: it is removed when all of it is compressed, so what it lacks is found after it.
    aside = _aside(journal)
    found = list(_packed(segments_folder(journal)))
    if aside:
        found = [part for part in found if part.start < aside.start]
    parts: list[Segment] = []
    for part in sorted(found, key=lambda part: part.start):
        if part.start >= end_of(parts):
            parts.append(part)
    return [*parts, aside] if aside else parts


def parts_of(journal: Path, aside: Segment) -> list[Segment]:
    """Return the compressed parts of what was moved aside, which do not count yet."""
    return [part for part in _packed(segments_folder(journal)) if part.start >= aside.start]


def end_of(parts: list[Segment]) -> int:
    """Return where the last of the parts ends; 0 where there is none."""
    return (parts[-1].end or 0) if parts else 0


def _aside(journal: Path) -> Segment | None:
    for path in journal.parent.glob(f"{journal.stem}-*{journal.suffix}"):
        match = _ASIDE.fullmatch(path.name)
        with suppress(OSError):
            if match:
                start = int(match[1])
                return Segment(path, start, start + path.lstat().st_size)
    return None


def _packed(folder: Path) -> list[Segment]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unusable(folder, error) from error
    matches = [match for name in names if (match := _PACKED.fullmatch(name))]
    places = [(folder / match[0], int(match[1]), int(match[2])) for match in matches]
    return [Segment(path, start, end) for path, start, end in places if start < end]


@dataclass(slots=True)
class OpenSegment:
    """A part, open for reading: its content, and the file that this is in.

    `position` is where in the stream its content stands once it was sought.
    """

    part: Segment
    file: BufferedReader
    holds: BinaryIO
    position: int

    def seek(self) -> None:
        """Go to the position; raises what `gzip` and `zlib` raise where the file is damaged."""
        self.file.seek(self.position - self.part.start)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self.holds.close()


def growing_start(journal: Path) -> int:
    """Return where in the stream the file that grows begins; the caller holds the lock."""
    return end_of(past_segments(journal))


def size_of(journal: Path) -> int:
    """Return how long the stream is; raises UnreadableFileError where the file that grows is no regular one."""
    descriptor, past = _look(journal)
    if descriptor is None:
        return end_of(past)
    try:
        return end_of(past) + os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def open_at(journal: Path, position: int) -> OpenSegment | None:
    """Open the part with the byte at a position, to be sought there, or the next part where a part is lost.

    None where the stream has no such place. Raises InstallError where the system refuses, UnreadableFileError where
    the file that grows is no regular one.
    """
    for _ in range(_LOOKS):
        descriptor, past = _look(journal)
        if position >= end_of(past):
            return _open_growing(journal, descriptor, end_of(past), position)
        if descriptor is not None:
            os.close(descriptor)
        part = next(part for part in past if part.end is None or part.end > position)
        files = _open_past(part)
        if files is not None:  # else it has just been compressed
            return OpenSegment(part, *files, max(position, part.start))
    raise UnreadableFileError("its parts are moved about")


def _look(journal: Path) -> tuple[int | None, list[Segment]]:
    """Return the file that grows, open, and the other parts, as they are at one moment."""
    for _ in range(_LOOKS):
        descriptor = open_regular(journal)
        past = past_segments(journal)
        if _is_still(journal, descriptor):
            return descriptor, past
        if descriptor is not None:
            os.close(descriptor)
    raise UnreadableFileError("its parts are moved about")


def _is_still(journal: Path, descriptor: int | None) -> bool:
    try:
        facts = journal.lstat()
    except OSError:
        return descriptor is None
    return descriptor is not None and os.path.samestat(facts, os.fstat(descriptor))


def _open_growing(journal: Path, descriptor: int | None, base: int, position: int) -> OpenSegment | None:
    if descriptor is None:
        return None
    file = os.fdopen(descriptor, "rb")
    if position - base > os.fstat(descriptor).st_size:
        file.close()
        return None  # a place in another journal
    return OpenSegment(Segment(journal, base), file, file, position)


def _open_past(part: Segment) -> tuple[BufferedReader, BinaryIO] | None:
    """Return a part's content, and the file that it is in; None where it is not there any more."""
    try:
        descriptor = open_regular(part.path)
    except UnreadableFileError:  # others put that there: it reads as a part that is cut short
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    if descriptor is None:
        return None
    file = os.fdopen(descriptor, "rb")
    if not part.is_compressed:
        return file, file
    import gzip  # most readers are content with the file that grows

    # The reader around it makes its lines at C's speed.
    return BufferedReader(cast("BufferedReader", gzip.GzipFile(fileobj=file)), 65_536), file
