"""Batches of what is sent: the journal's events folded into samples, spans or lines, from any offset on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Generic

from contextcore_install.core.dataclass import replace
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.interfaces import EventSource
from contextcore_install.telemetry.cursors import Offset
from contextcore_install.telemetry.folds.fold import Fold, Item, SnapshotError


class JournalReplacedError(Exception):
    """The journal is not the one that an offset was made from: begun anew, or cut by a crash."""


class BatchReader(Generic[Item]):
    """Reads the journal once behind an offset: each event, with what a fold makes of it."""

    def __init__(self, events: EventSource, cluster: str, fold: type[Fold[Item]], start: Offset) -> None:
        self._events, self._start = events, start
        self._reached = (start.number, start.at_us, start.position)
        try:
            self._fold = fold.restore(cluster, start.fold) if start.number else fold(cluster)
        except SnapshotError:
            self._fold = fold(cluster)
            for _, event in events.read(0):
                if event.number > start.number:
                    break
                self._fold.take(event)
            self._start = replace(start, fold=self._fold.snapshot())
        self.run_start = self._start  # the offset before the run that began last

    def __iter__(self) -> Iterator[tuple[Event, list[Item]]]:
        """Yield events and their items; raises JournalReplacedError.

        It ends at an event of the future, as a clock that was set back leaves: stores refuse those, or refuse what is
        of the present once they took one. It is sent when its time has come.
        """
        now_us = time.time_ns() // 1000
        for position, event in events_behind(self._events, self._start):
            if event.at_us > now_us:
                return
            if event.kind is Kind.RUN_STARTED or event.stands_alone:
                self.run_start = self.offset()
            self._reached = (event.number, event.at_us, position)
            yield event, self._fold.take(event)

    def batch(self, least: int) -> list[Item]:
        """Return the next items of whole events: some `least` of them, if there are so many."""
        items: list[Item] = []
        for _, made in self:
            items += made
            if len(items) >= least:
                break
        return items

    def offset(self) -> Offset:
        if self._reached[0] == self._start.number:
            return self._start
        return Offset(*self._reached, self._fold.snapshot())


def events_behind(events: EventSource, offset: Offset) -> Iterator[tuple[int, Event]]:
    """Yield (position, event) behind an offset; raises JournalReplacedError when it is not in this journal."""
    following = iter(events.read(offset.position))
    if offset.number:
        _, last = next(following, (0, None))
        if last is None or (last.number, last.at_us) != (offset.number, offset.at_us):
            raise JournalReplacedError
    yield from following
