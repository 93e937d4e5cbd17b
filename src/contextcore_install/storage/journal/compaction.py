"""Rotates a long journal and compresses it segment by segment, each with a summary.

Nothing is lost by it, and no position changes (`storage/journal/segments.py`). The summaries only save time: one that
is gone, damaged or of another version is made from its segment again.

    journal/<start>-<end>.json.gz               the runs that began in it, and what all events up to its end come to
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import RESUME, state_error
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular
from contextcore_install.storage.home import make_private
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.journal.segments import (
    Segment,
    compressed_segments,
    growing_start,
    past_segments,
    segments_folder,
)
from contextcore_install.system.files import sweep, sync_folder, write_atomically

MOST_SUMMARY_BYTES = 64 * 1024 * 1024
_LEVEL = 6


def compact(journal: Path, cluster: str, most: int) -> None:
    """Have a journal that is longer than `most` bytes compressed; what the disk refuses is done by a later call.

    The caller holds the lock, has repaired the journal, and does not write to it. Raises InstallError if the folder of
    the segments is not ours alone.
    """
    with suppress(OSError):
        if all(segment.is_compressed for segment in past_segments(journal)):
            if not journal.exists() or journal.stat().st_size < most:
                return
            journal.rename(journal.with_name(f"{journal.stem}-{growing_start(journal):012d}{journal.suffix}"))
            sync_folder(journal.parent)
        make_private(segments_folder(journal))
        sync_folder(journal.parent)
        sweep(segments_folder(journal))
        _compress(journal, cluster, most)


def past_summary(journal: Path, cluster: str) -> tuple[JournalSummary, int]:
    """Return the summary of the compressed segments, and where they end; raises as `JournalReader.read` does."""
    summary, end = JournalSummary(cluster), 0
    for segment in past_segments(journal):
        if segment.is_compressed:
            try:
                summary.carry_on(_kept_summary(segment))
            except ValueError:
                for position, event in _events(journal, segment):
                    summary.take(position, event)
            end = segment.end or 0
    return summary, end


def read_journal_summary(journal: Path, cluster: str) -> JournalSummary:
    """Return the summary of the whole journal; raises InstallError if it cannot be read."""
    try:
        summary, end = past_summary(journal, cluster)
        for position, event in JournalReader(journal).read(end):
            summary.take(position, event)
    except UnreadableFileError as error:
        hint = f"run {RESUME}: it sets the file aside and begins a new one"
        raise state_error("journal-unusable", f"{journal} is no journal: {error}", hint) from None
    return summary


def _compress(journal: Path, cluster: str, most: int) -> None:
    """Compress what was rotated, and remove it; raises OSError, and then it still counts."""
    summary, _ = past_summary(journal, cluster)
    rotated = past_segments(journal)[-1]
    for segment in compressed_segments(journal):
        if segment.start >= rotated.start:  # of a compaction that was cut off, which may have cut elsewhere
            segment.path.unlink()
            _summary_path(segment).unlink(missing_ok=True)
    start, end, first_row = rotated.start, rotated.end or 0, len(summary.runs)
    for position, event in _events(journal, rotated):
        begins_run = event.kind is Kind.RUN_STARTED or event.stands_alone
        if begins_run and position - start >= most and end - position >= most // 2:
            _write_segment(journal, rotated, start, position, summary.as_document(first_row))
            start, first_row = position, len(summary.runs)
        summary.take(position, event)
    _write_segment(journal, rotated, start, end, summary.as_document(first_row))
    rotated.path.unlink()
    sync_folder(journal.parent)


def _events(journal: Path, segment: Segment) -> Iterator[tuple[int, Event]]:
    for position, event in JournalReader(journal).read(segment.start):
        if position >= (segment.end or 0):
            return
        yield position, event


def _write_segment(journal: Path, rotated: Segment, start: int, end: int, summary: dict[str, Any]) -> None:
    with rotated.path.open("rb") as file:
        file.seek(start - rotated.start)
        content = file.read(end - start)
    segment = Segment(segments_folder(journal) / f"{start:012d}-{end:012d}.jsonl.gz", start, end)
    write_atomically(_summary_path(segment), _compressed(json.dumps(summary, separators=(",", ":")).encode()))
    write_atomically(segment.path, _compressed(content))


def _compressed(content: bytes) -> bytes:
    import gzip  # few runs end a segment

    return gzip.compress(content, _LEVEL, mtime=0)


def _summary_path(segment: Segment) -> Path:
    return segment.path.with_name(segment.path.name.replace(".jsonl.gz", ".json.gz"))


def _kept_summary(segment: Segment) -> dict[str, Any]:
    """Return the summary that is kept of a segment; raises ValueError if it cannot be used."""
    packed = read_regular(_summary_path(segment), MOST_SUMMARY_BYTES)
    try:
        content = zlib.decompressobj(wbits=31).decompress(packed or b"", MOST_SUMMARY_BYTES)
    except zlib.error:
        raise UnreadableFileError("it is damaged") from None
    document = parse_json(content)
    if not isinstance(document, dict):
        raise UnreadableFileError("it is no object")
    return document
