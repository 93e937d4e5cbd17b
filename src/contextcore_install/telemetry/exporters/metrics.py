"""Samples to the metrics store, which is recognised by what it shows, and sent no sample twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from contextcore_install.core.dataclass import replace
from contextcore_install.core.interfaces import EventSource
from contextcore_install.telemetry.cursors import Cursor, JournalReplacedError, SharedCursors
from contextcore_install.telemetry.exporters.backends import Backend, probe
from contextcore_install.telemetry.exporters.exporter import Delivery, Exporter
from contextcore_install.telemetry.failures import Loss, Timeouts
from contextcore_install.telemetry.folds.metrics import MetricsFold, Sample
from contextcore_install.telemetry.readback import missing_after_wait, missing_samples, sent_samples

_VISIBLE_S = 1.5  # how long a store may take to show the newest sample before it counts as another store
_RECHECK_S = 10.0  # how long nothing is looked up again in a store that closes every connection
_SETTLED_MS = 60_000
"""Age after which what a store has taken and still shows is on its disk.

VictoriaMetrics keeps some ten seconds in memory alone, and Linux half a minute of what is written to a file.
"""


class MetricsExporter(Exporter[Sample]):
    """Sends samples to one metrics store."""

    fold = MetricsFold
    batch_size = 1000

    def __init__(self, base_url: str, events: EventSource, cursors: SharedCursors, cluster: str) -> None:
        super().__init__(base_url, events, cursors, cluster)
        self._backend: Backend | None = None
        self._may_be_sent = True
        self._opened, self._next_check = 0, 0.0
        self._missed: frozenset[Sample] = frozenset()

    @property
    def backend(self) -> Backend:
        """The store; only once it was found."""
        assert self._backend is not None
        return self._backend

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

    def deliver(self, timeouts: Callable[[], Timeouts]) -> Delivery:
        """Send the next batch, and what a store has lost that was started anew since the last one."""
        delivery, reached = super().deliver(timeouts), self.cursor.sent.number
        if self.client.opened == self._opened or time.monotonic() < self._next_check:
            return delivery
        self._next_check = time.monotonic() + _RECHECK_S
        self.connect(timeouts())
        return replace(delivery, more=delivery.more or self.cursor.sent.number < reached)

    def _identify(self, timeouts: Timeouts) -> str:
        self._backend, self._may_be_sent = probe(self.client, timeouts), True
        return f"{self._backend.kind.name} {self.client.base_url}"

    def _find_cursor(self, name: str, timeouts: Timeouts) -> Cursor:
        """Return the cursor of this store: one whose newest sample it shows, first of all its own.

        So a store that lost its data, or another one at the same port, gets everything, and the same
        store at another port is recognised.
        """
        own = self._cursors.get(name)
        others = [cursor for cursor in self._cursors.of_kind(self.backend.kind.name) if cursor != own]
        try:
            if own.mark and (settled := self._settled(own, timeouts)):
                return settled
            for cursor in others:
                if cursor.mark and not missing_after_wait(self.backend, [cursor.mark], timeouts, 0.0):
                    return cursor
        finally:
            self._opened = self.client.opened
        return Cursor()

    def _settled(self, cursor: Cursor, timeouts: Timeouts) -> Cursor | None:
        """Return a cursor with what the store has on its disk noted; None if it lacks some of what it took.

        It forgets what it took last when it is killed, not always the newest alone. All of that is read back at once.
        """
        try:
            recent, base = sent_samples(self.read_from(cursor.base), cursor, cursor.settled)
        except JournalReplacedError:
            recent, base = [], cursor.base
        newest = [cursor.mark] if cursor.mark else []
        if missing_after_wait(self.backend, [*recent, *newest], timeouts, _VISIBLE_S):
            return None
        old = _now_ms() - cursor.sent_ms > _SETTLED_MS
        return replace(cursor, base=base, settled=cursor.sent.number if old else cursor.settled)

    def _send(self, items: Sequence[Sample], timeouts: Callable[[], Timeouts]) -> tuple[int, Loss | None]:
        """Send samples.

        What may have been sent before (by a process that ended before it could note it, by a request
        without an answer) is looked up first, as not every store takes a sample twice.
        """
        wanted = missing_samples(self.backend, items, timeouts()) if self._may_be_sent else items
        self._may_be_sent = True  # until there is an answer
        refused = self.backend.send(wanted, timeouts()) if wanted else []
        # A store may refuse what it has.
        missing = set(missing_samples(self.backend, [refusal.sample for refusal in refused], timeouts()))
        lost = [refusal for refusal in refused if refusal.sample in missing]
        self._may_be_sent = len(wanted) < len(items)
        gone = {refusal.sample for refusal in refused}
        mark = next((sample for sample in reversed(items) if sample not in gone), self.cursor.mark)
        refused_ms = max([self.cursor.refused_ms, *(refusal.sample.at_ms for refusal in lost)])
        self.cursor = replace(self.cursor, mark=mark, refused_ms=refused_ms, sent_ms=_now_ms())
        reason = f"the first of them {lost[0].sample.name}: {lost[0].reason}" if lost else ""
        return len(wanted) - len(refused), Loss(len(lost), reason) if lost else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
