"""Samples to the metrics store, which is recognised by what it shows, and what it shows of those it took."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import REPAIR, InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.telemetry.cursors import BatchReader, Cursor, JournalReplacedError, Offset
from contextcore_install.telemetry.exporters.backends import Backend, probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.exporters.exporter import Delivery, Exporter
from contextcore_install.telemetry.failures import Loss, StoreError, Timeouts
from contextcore_install.telemetry.folds.metrics import PREFIX, MetricsFold, Sample

_VISIBLE_S = 1.5  # how long a store may take to show the newest sample before it counts as another store
_RECHECK_S = 10.0  # how long nothing is looked up again in a store that closes every connection
_SETTLED_MS = 60_000
"""Age after which what a store has taken and still shows is on its disk.

VictoriaMetrics keeps some ten seconds in memory alone, and Linux half a minute of what is written to a file.
"""

MOST_RUNS = 20  # and verifications between them; as many as logs are kept of

MOST_AGE_MS = 7 * 86_400_000
"""Before the newest event. Well below the shortest default retention of the stores we know: Prometheus' 15 days."""

PROBE_NAME = PREFIX + "probe_timestamp"
PROBE_VISIBLE_WITHIN_S = 3.0

_MOST_SENTENCES = 10
_POLL_S = 0.25


class MetricsExporter(Exporter[Sample]):
    """Sends samples to one metrics store."""

    fold = MetricsFold
    batch_size = 1000
    backend: Backend  # once it was found
    _may_be_sent = True
    _opened, _next_check = 0, 0.0
    _missed: frozenset[Sample] = frozenset()

    def reset_cursor(self) -> None:
        super().reset_cursor()
        self._may_be_sent = True

    def missed(self, sent: Sequence[Sample], missing: Sequence[Sample]) -> Loss | None:
        """Take note that the store does not show some of what it has taken; it is sent again.

        If the same is missing after that, and nothing as old is shown, the store drops without a word what is too
        old for it, as VictoriaMetrics does beyond its retention: then it is given up, and the loss returned.
        """
        gone, newest_ms = frozenset(missing), max(sample.at_ms for sample in missing)
        shown = [sample for sample in sent if sample not in gone]
        if gone <= self._missed and shown and all(sample.at_ms > newest_ms for sample in shown):
            self.cursor = replace(self.cursor, refused_ms=newest_ms)
            self.save()
            reason = f"the first of them {missing[0].name}: it took them and does not keep what is so old"
            return Loss(len(gone), reason)
        self._missed = gone
        self.reset_cursor()
        return None

    def deliver(self) -> Delivery:
        """Send the next batch, and what a store has lost that was started anew since the last one."""
        delivery, reached = super().deliver(), self.cursor.sent.number
        if self.client.opened == self._opened or time.monotonic() < self._next_check:
            return delivery
        self._next_check = time.monotonic() + _RECHECK_S
        self.connect()
        return replace(delivery, more=delivery.more or self.cursor.sent.number < reached)

    def connect(self) -> None:
        self.backend, self._may_be_sent = probe(self.client), True
        name = f"{self.backend.kind.name} {self.client.base_url}"
        self.cursor = self._find_cursor(name)
        self._name = name

    def _find_cursor(self, name: str) -> Cursor:
        """Return the cursor of this store: one whose newest sample it shows, first of all its own.

        So a store that lost its data, or another one at the same port, gets everything, and the same
        store at another port is recognised.
        """
        own = self._cursors.get(name)
        others = [cursor for cursor in self._cursors.of_kind(self.backend.kind.name) if cursor != own]
        try:
            if own.mark and (settled := self._settled(own)):
                return settled
            for cursor in others:
                if cursor.mark and not missing_after_wait(self.backend, [cursor.mark], 0.0):
                    return cursor
        finally:
            self._opened = self.client.opened
        return Cursor()

    def _settled(self, cursor: Cursor) -> Cursor | None:
        """Return a cursor with what the store has on its disk noted; None if it lacks some of what it took.

        It forgets what it took last when it is killed, not always the newest alone. All of that is read back at once.
        """
        try:
            recent, base = sent_samples(self.read_from(cursor.base), cursor, cursor.settled)
        except JournalReplacedError:
            recent, base = [], cursor.base
        newest = [cursor.mark] if cursor.mark else []
        if missing_after_wait(self.backend, [*recent, *newest], _VISIBLE_S):
            return None
        old = time.time_ns() // 1_000_000 - cursor.sent_ms > _SETTLED_MS
        return replace(cursor, base=base, settled=cursor.sent.number if old else cursor.settled)

    def _send(self, items: Sequence[Sample]) -> tuple[int, Loss | None]:
        """Look up first what may have been sent before, as not every store takes a sample twice.

        A process may have ended before it could note it, or a request had no answer.
        """
        wanted = missing_samples(self.backend, items) if self._may_be_sent else items
        self._may_be_sent = True  # until there is an answer
        refused = self.backend.send(wanted) if wanted else []
        # A store may refuse what it has.
        missing = set(missing_samples(self.backend, [refusal.sample for refusal in refused]))
        lost = [refusal for refusal in refused if refusal.sample in missing]
        self._may_be_sent = len(wanted) < len(items)
        gone = {refusal.sample for refusal in refused}
        mark = next((sample for sample in reversed(items) if sample not in gone), self.cursor.mark)
        refused_ms = max([self.cursor.refused_ms, *(refusal.sample.at_ms for refusal in lost)])
        self.cursor = replace(self.cursor, mark=mark, refused_ms=refused_ms, sent_ms=time.time_ns() // 1_000_000)
        reason = f"the first of them {lost[0].sample.name}: {lost[0].reason}" if lost else ""
        return len(wanted) - len(refused), Loss(len(lost), reason) if lost else None


def missing_samples(
    backend: Backend, samples: Sequence[Sample], *, bypass_cache: bool = False, exact: bool = False
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
    found = backend.raw_samples(matchers, start, end, bypass_cache=bypass_cache)
    shown = {sample: found.get(sample.series, {}).get(sample.at_ms) for sample in samples}
    return [sample for sample, value in shown.items() if value is None or (exact and value != sample.value)]


def missing_after_wait(
    backend: Backend, samples: Sequence[Sample], limit_s: float, *, exact: bool = False
) -> list[Sample]:
    """Return what `missing_samples` does, giving the store `limit_s` seconds to show what it has just taken."""
    end = time.monotonic() + limit_s
    missing = missing_samples(backend, samples, exact=exact)
    if missing:
        backend.show_recent()
    while missing:
        missing = missing_samples(backend, samples, bypass_cache=True, exact=exact)
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
    client = Client(url, lambda: Timeouts(answer_s=3.0))
    at_ms = at_us // 1000
    sample = Sample(PROBE_NAME, (("cluster", cluster),), at_ms / 1000, at_ms)
    try:
        backend = probe(client)
        if refused := backend.send([sample]):
            raise InstallError("metric-lost", f"{backend} refuses a sample of now", refused[0].reason, REPAIR)
        missing = missing_after_wait(backend, [sample], PROBE_VISIBLE_WITHIN_S, exact=True)
    except StoreError as error:
        raise error.as_install_error() from error
    finally:
        client.close()
    if missing:
        said = f"{backend} took a sample and does not show it"
        raise InstallError("metric-lost", said, _in_words(missing[0]), REPAIR)
    return f"{backend} took a sample of now and shows it"
