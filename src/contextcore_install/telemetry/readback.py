"""Reads back by query what was sent: which samples a store does not show."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contextcore_install.core.errors import REPAIR, InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.telemetry.cursors import BatchReader, Cursor, Offset
from contextcore_install.telemetry.exporters.backends import Backend, probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import StoreError, Timeouts
from contextcore_install.telemetry.folds.metrics import PREFIX, Sample

MOST_RUNS = 20  # and verifications between them; as many as logs are kept of

MOST_AGE_MS = 7 * 86_400_000
"""Before the newest event. Well below the shortest default retention of the stores we know: Prometheus' 15 days."""

PROBE_NAME = PREFIX + "probe_timestamp"
PROBE_VISIBLE_WITHIN_S = 3.0

_MOST_SENTENCES = 10
_POLL_S = 0.25


def missing_samples(
    backend: Backend, samples: Sequence[Sample], timeouts: Timeouts, *, bypass_cache: bool = False, exact: bool = False
) -> list[Sample]:
    """Return those of the samples that the store does not show; raises StoreError.

    A sample that is shown with another value is missing only if `exact`: a journal that has lost a line gives other
    values for the time after it, and then what the store took before is right.
    """
    if not samples:
        return []
    start, end = min(sample.at_ms for sample in samples), max(sample.at_ms for sample in samples)
    matchers = dict(set.intersection(*(set(sample.labels) for sample in samples)))
    if len({sample.name for sample in samples}) == 1:
        matchers["__name__"] = samples[0].name
    found = backend.raw_samples(matchers, start, end, timeouts, bypass_cache=bypass_cache)
    shown = {sample: found.get(sample.series, {}).get(sample.at_ms) for sample in samples}
    return [sample for sample, value in shown.items() if value is None or (exact and value != sample.value)]


def missing_after_wait(
    backend: Backend, samples: Sequence[Sample], timeouts: Timeouts, limit_s: float, *, exact: bool = False
) -> list[Sample]:
    """Return what `missing_samples` does, giving the store `limit_s` seconds to show what it has just taken."""
    end = time.monotonic() + limit_s
    missing = missing_samples(backend, samples, timeouts, exact=exact)
    if missing:
        backend.show_recent(timeouts)
    while missing:
        missing = missing_samples(backend, samples, timeouts, bypass_cache=True, exact=exact)
        if not missing or time.monotonic() + _POLL_S > end:
            break
        time.sleep(_POLL_S)
    return missing


def sent_samples(reader: BatchReader[Sample], cursor: Cursor, behind: int = 0) -> tuple[list[Sample], Offset]:
    """Return what the store has taken of the last runs, and the offset where the first of them begins.

    `reader` starts at the cursor's base. Only what events give with numbers above `behind` is returned. From the
    offset, the next reading can start instead of at the journal's beginning. Raises JournalReplacedError.
    """
    runs: list[tuple[Offset, int, list[Sample]]] = []
    for event, samples in reader:
        if event.number > cursor.sent.number:
            break
        if event.kind is Kind.RUN_STARTED or event.stands_alone or not runs:
            runs.append((reader.run_start, event.at_us, []))
        if event.number > behind:
            runs[-1][2].extend(samples)
    oldest_us = cursor.sent.at_us - MOST_AGE_MS * 1000
    kept = [run for run in runs[-MOST_RUNS:] if run[1] >= oldest_us] or runs[-1:]
    taken = [sample for _, _, samples in kept for sample in samples if sample.at_ms > cursor.refused_ms]
    return taken, kept[0][0] if kept else cursor.base


def in_words(missing: Sequence[Sample], backend: Backend) -> list[str]:
    """Return a bounded list of sentences."""
    more = len(missing) - _MOST_SENTENCES
    sentences = [f"{backend}: {_in_words(sample)}" for sample in missing[:_MOST_SENTENCES]]
    return [*sentences, f"{backend}: and {more} more samples"] if more > 0 else sentences


def _in_words(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sample.labels)
    return f"{sample.name}{{{labels}}} = {sample.value:g} of {instant(sample.at_ms * 1000)} is not there"


def round_trip(url: str, cluster: str, at_us: int) -> str:
    """Write the time `at_us` as one sample (Unix seconds, in whole milliseconds), and return how it came back.

    Raises InstallError: `metrics-store-…` if the store does not answer or refuses, `metric-lost` if it takes the
    sample and does not show it.
    """
    client, timeouts = Client(url), Timeouts(answer_s=3.0)
    at_ms = at_us // 1000
    sample = Sample(PROBE_NAME, (("cluster", cluster),), at_ms / 1000, at_ms)
    try:
        backend = probe(client, timeouts)
        if refused := backend.send([sample], timeouts):
            raise _lost(f"{backend} refuses a sample of now", refused[0].reason)
        missing = missing_after_wait(backend, [sample], timeouts, PROBE_VISIBLE_WITHIN_S, exact=True)
    except StoreError as error:
        raise error.as_install_error() from error
    finally:
        client.close()
    if missing:
        raise _lost(f"{backend} took a sample and does not show it", _in_words(missing[0]))
    return f"{backend} took a sample of now and shows it"


def _lost(message: str, evidence: str) -> InstallError:
    return InstallError("metric-lost", message, evidence, REPAIR)
