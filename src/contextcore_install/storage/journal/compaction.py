"""A long journal, moved aside and compressed part by part, each with a summary of what it tells.

Nothing is lost by it, and no position changes (`storage/journal/segments.py`). The summaries only save time: one that
is gone, damaged or of another version is made from its segment again. What a part tells in short is kept beside it:

    journal/<start>-<end>.json.gz               the runs that began in it, and what all events up to its end come to
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.hints import RESUME
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular
from contextcore_install.storage.home import make_private
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.journal.segments import (
    Segment,
    compressed_path,
    growing_start,
    parts_of,
    past_segments,
    rotated_path,
    segments_folder,
)
from contextcore_install.system.files import sweep, sync_folder, write_atomically

SEGMENT_BYTES = 1024 * 1024
"""How long a journal grows, and about how long its parts are before they are compressed: some 500 quiet runs."""

MOST_CHRONICLE_BYTES = 64 * 1024 * 1024
_LEVEL = 6


Write = Callable[[Path, bytes], None]


def compact(journal: Path, cluster: str, most: int = SEGMENT_BYTES, *, write: Write = write_atomically) -> None:
    """Have a journal that is longer than `most` bytes compressed; what the disk refuses is done by a later call.

    The caller holds the lock, has mended the journal, and does not write to it. Raises InstallError where the folder of
    the parts is not ours alone.
    """
    with suppress(OSError):
        if not _is_aside(journal):
            if not journal.exists() or journal.stat().st_size < most:
                return
            journal.rename(rotated_path(journal, growing_start(journal)))
            sync_folder(journal.parent)
        make_private(segments_folder(journal))
        sync_folder(journal.parent)
        sweep(segments_folder(journal))
        _pack(journal, cluster, most, write)


def past_summary(journal: Path, cluster: str) -> tuple[JournalSummary, int]:
    """Return what the compressed parts tell, and where in the journal they end; raises as `JournalReader.read` does."""
    summary, end = JournalSummary(cluster), 0
    for part in _packed(journal):
        try:
            summary.carry_on(_kept(part))
        except ValueError:
            for position, event in _events(journal, part.start, part.end or 0):
                summary.take(position, event)
        end = part.end or 0
    return summary, end


def read_journal_summary(journal: Path, cluster: str) -> JournalSummary:
    """Return what the whole journal tells; raises InstallError when it cannot be read."""
    try:
        summary, end = past_summary(journal, cluster)
        for position, event in JournalReader(journal).read(end):
            summary.take(position, event)
    except UnreadableFileError as error:
        raise InstallError(
            "journal-unusable",
            f"{journal} is no journal: {error}",
            hint=f"run {RESUME}: it sets the file aside and begins a new one",
            exit_code=ExitCode.STATE_UNUSABLE,
        ) from None
    return summary


def _is_aside(journal: Path) -> bool:
    return any(not part.is_compressed for part in past_segments(journal))


def _packed(journal: Path) -> Iterator[Segment]:
    return (part for part in past_segments(journal) if part.is_compressed)


def _pack(journal: Path, cluster: str, most: int, write: Write) -> None:
    """Compress what was moved aside, and remove it; raises OSError, and then it still counts."""
    summary, _ = past_summary(journal, cluster)
    aside = past_segments(journal)[-1]
    for part in parts_of(journal, aside):  # of a cut-off compaction, which may have cut elsewhere
        part.path.unlink()
        _summary_path(part).unlink(missing_ok=True)
    start, end, first_row = aside.start, aside.end or 0, len(summary.runs.rows)
    for position, event in _events(journal, start, end):
        if _begins_run(event) and position - start >= most and end - position >= most // 2:
            _write_part(write, journal, aside, (start, position), summary.as_document(first_row))
            start, first_row = position, len(summary.runs.rows)
        summary.take(position, event)
    _write_part(write, journal, aside, (start, end), summary.as_document(first_row))
    aside.path.unlink()
    sync_folder(journal.parent)


def _begins_run(event: Event) -> bool:
    return event.kind is Kind.RUN_STARTED or event.stands_alone


def _events(journal: Path, start: int, end: int) -> Iterator[tuple[int, Event]]:
    for position, event in JournalReader(journal).read(start):
        if position >= end:
            return
        yield position, event


def _write_part(write: Write, journal: Path, aside: Segment, place: tuple[int, int], document: dict[str, Any]) -> None:
    start, end = place
    with aside.path.open("rb") as file:
        file.seek(start - aside.start)
        content = file.read(end - start)
    part = Segment(compressed_path(journal, start, end), start, end)
    write(_summary_path(part), _compressed(json.dumps(document, separators=(",", ":")).encode()))
    write(part.path, _compressed(content))


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, _LEVEL, mtime=0)


def _summary_path(part: Segment) -> Path:
    return part.path.with_name(part.path.name.replace(".jsonl.gz", ".json.gz"))


def _kept(part: Segment) -> dict[str, Any]:
    """Return the summary that is kept of a part; ValueError where there is none that can be used."""
    packed = read_regular(_summary_path(part), MOST_CHRONICLE_BYTES)
    try:
        content = zlib.decompressobj(wbits=31).decompress(packed or b"", MOST_CHRONICLE_BYTES)
    except zlib.error:
        raise UnreadableFileError("it is damaged") from None
    document = parse_json(content)
    if not isinstance(document, dict):
        raise UnreadableFileError("it is no object")
    return document
