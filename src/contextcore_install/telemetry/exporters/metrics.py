"""The way to the metrics store, which is recognised by what it shows, and given no sample twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from contextcore_install.core.ports import EventSource
from contextcore_install.telemetry.batches import BatchReader, JournalReplacedError
from contextcore_install.telemetry.cursor import Cursor
from contextcore_install.telemetry.exporters.backends import Backend, probe
from contextcore_install.telemetry.exporters.client import Timeouts
from contextcore_install.telemetry.exporters.exporter import Delivery, Exporter, Loss
from contextcore_install.telemetry.exporters.remote_write import Refusal, send
from contextcore_install.telemetry.folds.metrics import MetricsFold, Sample
from contextcore_install.telemetry.readback import absent, absent_after_wait, sent_samples
from contextcore_install.telemetry.shared_cursors import SharedCursors

_VISIBLE_S = 1.5
"""How long a store may take, in seconds, to show the newest sample before it counts as another store."""


_SETTLED_MS = 60_000
"""How old what a store has taken must be, in milliseconds, and still be shown, to be on its disk.

VictoriaMetrics keeps some ten seconds in memory alone, and Linux half a minute of what is written to a file.
"""

_LOOK_AGAIN_S = 10.0
"""How long, in seconds, nothing is looked up again in a store that closes every connection."""


class MetricsExporter(Exporter[Sample]):
    """The way to one metrics store."""

    def __init__(self, base_url: str, events: EventSource, book: SharedCursors, cluster: str) -> None:
        super().__init__(base_url, BatchReader(events, cluster, MetricsFold), book)
        self._cluster = cluster
        self._backend: Backend | None = None
        self._doubtful = True
        self._opened, self._next_look = 0, 0.0
        self._missed: frozenset[Sample] = frozenset()

    @property
    def backend(self) -> Backend:
        """The store; only once it was found."""
        if self._backend is None:
            raise RuntimeError("not connected")
        return self._backend

    def distrust(self) -> None:
        """Take back that the store has anything, and look up what it has before it is sent again."""
        super().distrust()
        self._doubtful = True

    def missed(self, sent: Sequence[Sample], missing: Sequence[Sample]) -> Loss | None:
        """Take note that the store does not show some of what it has taken; it is sent again.

        Where the same is missing after that, and nothing as old is shown, the store drops without a word what is too
        old for it, as VictoriaMetrics does beyond its retention: then it is given up, and the loss returned.
        """
        gone, newest_ms = frozenset(missing), max(sample.at_ms for sample in missing)
        shown = [sample for sample in sent if sample not in gone]
        if gone <= self._missed and shown and all(sample.at_ms > newest_ms for sample in shown):
            self.cursor = replace(self.cursor, refused_ms=newest_ms)
            self.save()
            return Loss(
                len(gone), f"the first of them {missing[0].name}: it took them and does not keep what is so old"
            )
        self._missed = gone
        self.distrust()
        return None

    def _find(self, patience: Timeouts) -> str:
        self._backend, self._doubtful = probe(self.client, patience), True
        return f"{self._backend.kind} {self._backend.base_url}"

    def deliver(self, patience: Callable[[], Timeouts]) -> Delivery:
        """Send the next batch, and what a store has lost that was started anew since the last one."""
        delivery, reached = super().deliver(patience), self.cursor.sent.number
        if self.client.opened == self._opened or time.monotonic() < self._next_look:
            return delivery
        self._next_look = time.monotonic() + _LOOK_AGAIN_S
        self.connect(patience())
        return replace(delivery, more=delivery.more or self.cursor.sent.number < reached)

    def _adopt(self, name: str, patience: Timeouts) -> Cursor:
        """Return the cursor of this store: one whose newest sample it shows, first of all its own.

        So a store that lost its data, or another one at the same port, gets everything, and the same
        store at another port is recognised.
        """
        own = self._book.get(name)
        others = [cursor for cursor in self._book.of_kind(self.backend.kind) if cursor != own]
        try:
            if own.mark and (settled := self._settled(own, patience)):
                return settled
            for cursor in others:
                if cursor.mark and not self._lacking_after([cursor.mark], patience, 0.0):
                    return cursor
        finally:
            self._opened = self.client.opened
        return Cursor()

    def _settled(self, cursor: Cursor, patience: Timeouts) -> Cursor | None:
        """Return a cursor with what the store has on its disk noted; None where it lacks some of what it took.

        It forgets what it took last when it is killed, not always the newest alone. All of that is read back at once.
        """
        try:
            recent, base = sent_samples(self.feed, cursor, cursor.settled)
        except JournalReplacedError:
            recent, base = [], cursor.base
        newest = [cursor.mark] if cursor.mark else []
        if self._lacking_after([*recent, *newest], patience, _VISIBLE_S):
            return None
        old = _now_ms() - cursor.sent_ms > _SETTLED_MS
        return replace(cursor, base=base, settled=cursor.sent.number if old else cursor.settled)

    def _give(self, items: Sequence[Sample], patience: Callable[[], Timeouts], *, more: bool) -> Delivery:
        """Send samples.

        What may have been sent before (by a process that ended before it could note it, by a request
        without an answer) is looked up first, as not every store takes a sample twice.
        """
        wanted = self._lacking(items, patience()) if self._doubtful else items
        self._doubtful = True  # until there is an answer
        refused = send(self.client, self.backend.write_path, wanted, patience()) if wanted else []
        lost = self._really_absent(refused, patience())
        self._doubtful = more and len(wanted) < len(items)
        gone = {refusal.sample for refusal in refused}
        mark = next((sample for sample in reversed(items) if sample not in gone), self.cursor.mark)
        refused_ms = max([self.cursor.refused_ms, *(refusal.sample.at_ms for refusal in lost)])
        self.cursor = replace(self.cursor, mark=mark, refused_ms=refused_ms, sent_ms=_now_ms())
        return Delivery(len(wanted) - len(refused), _in_words(lost), more)

    def _lacking_after(self, samples: Sequence[Sample], patience: Timeouts, limit_s: float) -> bool:
        return bool(absent_after_wait(self.client, self.backend, self._cluster, samples, patience, limit_s))

    def _lacking(self, samples: Sequence[Sample], patience: Timeouts) -> list[Sample]:
        missing = absent(self.client, self.backend, self._cluster, samples, patience)
        return [absence.sample for absence in missing]

    def _really_absent(self, refused: Sequence[Refusal], patience: Timeouts) -> list[Refusal]:
        """Return the refused samples that the store does not have: it may refuse what it has."""
        lacking = set(self._lacking([refusal.sample for refusal in refused], patience))
        return [refusal for refusal in refused if refusal.sample in lacking]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _in_words(refusals: Sequence[Refusal]) -> Loss | None:
    if not refusals:
        return None
    first = refusals[0]
    return Loss(len(refusals), f"the first of them {first.sample.name}: {first.reason}")
