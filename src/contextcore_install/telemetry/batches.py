"""The journal as what is sent: events folded into samples, spans or lines, from any point on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Generic

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.ports import EventSource
from contextcore_install.telemetry.cursor import Point
from contextcore_install.telemetry.folds.fold import Fold, Item, SnapshotError


class JournalReplacedError(Exception):
    """The journal is not the one that a point was made from: begun anew, or cut by a crash."""


class BatchReader(Generic[Item]):
    """The journal as what one sort of fold makes of it."""

    def __init__(self, events: EventSource, cluster: str, fold: type[Fold[Item]]) -> None:
        self._events = events
        self._cluster = cluster
        self._new = fold

    def items(self, point: Point) -> Iterator[tuple[Event, list[Item], BatchCursor[Item]]]:
        """Yield each event behind a point with what it gives, and the walk, which knows the point reached.

        It ends at an event of the future, as a clock that was set back leaves: stores refuse those, or refuse what is
        of the present once they took one. It is sent when its time has come.
        """
        walk, now_us = BatchCursor(self._fold(point), point), time.time_ns() // 1000
        for position, event in events_behind(self._events, point):
            if event.at_us > now_us:
                return
            yield event, walk.step(position, event), walk

    def batch(self, point: Point, most: int) -> tuple[list[Item], Point]:
        """Return the next items, some `most` of them (whole events), and the point behind them."""
        taken: list[Item] = []
        walk = None
        for _, items, walk in self.items(point):  # noqa: B007 - the last one is wanted
            taken += items
            if len(taken) >= most:
                break
        return taken, walk.point() if walk else point

    def next_us(self, point: Point) -> int | None:
        """Return the time (µs) of what comes first behind a point; None where nothing does."""
        return next((event.at_us for _, event in events_behind(self._events, point)), None)

    def _fold(self, point: Point) -> Fold[Item]:
        fold = self._new(self._cluster)
        if not point.number:
            return fold
        try:
            return self._new.restore(self._cluster, point.fold)
        except SnapshotError:
            for _, event in self._events.read(0):
                if event.number > point.number:
                    break
                fold.take(event)
            return fold


class BatchCursor(Generic[Item]):
    """A fold on its way through the journal."""

    def __init__(self, fold: Fold[Item], start: Point) -> None:
        self._fold = fold
        self._at = (start.number, start.at_us, start.position)
        self.run_start = start
        """The point before the run that was begun last."""

    def step(self, position: int, event: Event) -> list[Item]:
        """Take the next event in and return what it gives."""
        if event.kind is Kind.RUN_STARTED or event.stands_alone:
            self.run_start = self.point()
        self._at = (event.number, event.at_us, position)
        return self._fold.take(event)

    def point(self) -> Point:
        """Return the point reached."""
        return Point(*self._at, self._fold.snapshot())


def events_behind(events: EventSource, point: Point) -> Iterator[tuple[int, Event]]:
    """Yield (position, event) behind a point; raises JournalReplacedError when it is not in this journal."""
    following = iter(events.read(point.position))
    if point.number:
        _, last = next(following, (0, None))
        if last is None or (last.number, last.at_us) != (point.number, point.at_us):
            raise JournalReplacedError
    yield from following
