"""Reading back by query what was sent: which samples a store does not show."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from contextcore_install.core.events import Kind, instant
from contextcore_install.telemetry.batches import BatchReader
from contextcore_install.telemetry.cursor import Cursor, Point
from contextcore_install.telemetry.exporters.backends import Backend, raw_samples, show_recent
from contextcore_install.telemetry.exporters.client import Client, Timeouts
from contextcore_install.telemetry.folds.metrics import Sample

MOST_RUNS = 20
"""How many runs, and verifications between them, are read back; as many as logs are kept of."""

MOST_AGE_MS = 7 * 86_400_000
"""How old, in milliseconds before the newest event, what is read back may be.

Well below the shortest default retention of the stores we know, which is Prometheus' 15 days.
"""

_MOST_WORDS = 10
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Absence:
    """A sample that the store does not show, or shows with another value."""

    sample: Sample
    shown: float | None

    def __str__(self) -> str:
        sample = self.sample
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels)
        what = f"{sample.name}{{{labels}}} = {sample.value:g} of {instant(sample.at_ms * 1000)}"
        return f"{what} is not there" if self.shown is None else f"{what} is there as {self.shown:g}"


def absent(
    client: Client,
    backend: Backend,
    cluster: str,
    samples: Sequence[Sample],
    patience: Timeouts,
    *,
    anew: bool = False,
    exact: bool = False,
) -> list[Absence]:
    """Return those of the samples that the store does not show; raises StoreError. `anew` is that of `raw_samples`.

    A sample that is shown with another value is missing only if `exact`: a journal that has lost a line gives other
    values for the time after it, and then what the store took before is right.
    """
    if not samples:
        return []
    start, end = min(sample.at_ms for sample in samples), max(sample.at_ms for sample in samples)
    matchers = {"cluster": cluster}
    if len({sample.name for sample in samples}) == 1:
        matchers["__name__"] = samples[0].name
    found = raw_samples(client, backend, matchers, start, end, patience, anew=anew)
    missing = []
    for sample in samples:
        shown = found.get(sample.series, {}).get(sample.at_ms)
        if shown is None or (exact and shown != sample.value):
            missing.append(Absence(sample, shown))
    return missing


def absent_after_wait(
    client: Client,
    backend: Backend,
    cluster: str,
    samples: Sequence[Sample],
    patience: Timeouts,
    limit_s: float,
    *,
    exact: bool = False,
) -> list[Absence]:
    """Do as `absent`, giving the store `limit_s` seconds to show what it has just taken."""
    end = time.monotonic() + limit_s
    missing = absent(client, backend, cluster, samples, patience, exact=exact)
    if missing:
        show_recent(client, backend, patience)
    while missing:
        missing = absent(client, backend, cluster, samples, patience, anew=True, exact=exact)
        if not missing or time.monotonic() + _POLL_S > end:
            break
        time.sleep(_POLL_S)
    return missing


def sent_samples(feed: BatchReader[Sample], cursor: Cursor, behind: int = 0) -> tuple[list[Sample], Point]:
    """Return what the store has taken of the last runs, and the point where the first of them begins.

    Only what events give with numbers above `behind`. The point makes the next reading start there instead of at the
    journal's beginning. Raises JournalReplacedError.
    """
    runs: list[tuple[Point, int, list[Sample]]] = []
    for event, samples, walk in feed.items(cursor.base):
        if event.number > cursor.sent.number:
            break
        if event.kind is Kind.RUN_STARTED or event.stands_alone or not runs:
            runs.append((walk.run_start, event.at_us, []))
        if event.number > behind:
            runs[-1][2].extend(samples)
    oldest_us = cursor.sent.at_us - MOST_AGE_MS * 1000
    kept = [run for run in runs[-MOST_RUNS:] if run[1] >= oldest_us] or runs[-1:]
    taken = [sample for _, _, samples in kept for sample in samples if sample.at_ms > cursor.refused_ms]
    return taken, kept[0][0] if kept else cursor.base


def in_words(missing: Sequence[Absence], backend: Backend) -> list[str]:
    """Return a bounded list of sentences."""
    words = [f"{backend}: {absence}" for absence in missing[:_MOST_WORDS]]
    if len(missing) > _MOST_WORDS:
        words.append(f"{backend}: and {len(missing) - _MOST_WORDS} more samples")
    return words
