"""How far a store has got in the journal, and whether it is still the store that we think it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.ports import EventSource
from contextcore_install.telemetry.metrics import MetricsFold, Sample, SnapshotError


class JournalReplacedError(Exception):
    """The journal is not the one that a point was made from: begun anew, or cut by a crash."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the journal: behind the event that has this number, time (µs) and position.

    `fold` is a snapshot of the metrics there. It only saves time: without it, or where another version
    of the fold made it, the journal is folded from its start.
    """

    number: int = 0
    at_us: int = 0
    position: int = 0
    fold: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one store has taken: all samples of the events up to `sent`.

    `mark` is the newest sample that it took: a store that does not show it has lost its data, or is
    another one. `base` is where reading back begins. `refused_ms` is the time of the newest sample that
    it refused for good (0 for none): nothing up to it is missed.
    """

    sent: Point = Point()
    base: Point = Point()
    mark: Sample | None = None
    refused_ms: int = 0

    def as_document(self) -> dict[str, Any]:
        """Return the cursor as cursors.json holds it."""
        document: dict[str, Any] = {"sent": _point_document(self.sent), "base": _point_document(self.base)}
        if self.mark:
            mark = self.mark
            document["mark"] = {
                "name": mark.name,
                "labels": dict(mark.labels),
                "value": mark.value,
                "at_ms": mark.at_ms,
            }
        if self.refused_ms:
            document["refused_ms"] = self.refused_ms
        return document


def cursor_from_document(document: Mapping[str, Any]) -> Cursor:
    """Return the cursor that a document holds; a new one where it holds none: sending again is harmless."""
    try:
        mark = document.get("mark")
        return Cursor(
            sent=_point(document["sent"]),
            base=_point(document["base"]),
            mark=mark
            and Sample(mark["name"], tuple(sorted(mark["labels"].items())), mark["value"], mark["at_ms"]),
            refused_ms=int(document.get("refused_ms", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Cursor()


def _point_document(point: Point) -> dict[str, Any]:
    return {
        "number": point.number,
        "at_us": point.at_us,
        "position": point.position,
        "fold": dict(point.fold),
    }


def _point(document: Mapping[str, Any]) -> Point:
    number, at_us, position = (int(document[name]) for name in ("number", "at_us", "position"))
    if min(number, at_us, position) < 0:
        raise ValueError("a negative place")
    return Point(number, at_us, position, dict(document["fold"]))


class Feed:
    """The journal as samples, from any point on."""

    def __init__(self, events: EventSource, cluster: str) -> None:
        self._events = events
        self._cluster = cluster

    def events(self, point: Point) -> Iterator[tuple[int, Event]]:
        """Yield (position, event) behind a point; raises JournalReplacedError when it is not in this journal."""
        following = iter(self._events.read(point.position))
        if point.number:
            _, last = next(following, (0, None))
            if last is None or (last.number, last.at_us) != (point.number, point.at_us):
                raise JournalReplacedError
        yield from following

    def samples(self, point: Point) -> Iterator[tuple[Event, list[Sample], Walk]]:
        """Yield each event behind a point with its samples, and the walk, which knows the point reached."""
        walk = Walk(self._fold(point), point)
        for position, event in self.events(point):
            yield event, walk.step(position, event), walk

    def batch(self, point: Point, most: int) -> tuple[list[Sample], Point]:
        """Return the next samples, some `most` of them (whole events), and the point behind them."""
        taken: list[Sample] = []
        walk = None
        for _, samples, walk in self.samples(point):  # noqa: B007 - the last one is wanted
            taken += samples
            if len(taken) >= most:
                break
        return taken, walk.point() if walk else point

    def _fold(self, point: Point) -> MetricsFold:
        fold = MetricsFold(self._cluster)
        if not point.number:
            return fold
        try:
            return MetricsFold.restore(self._cluster, point.fold)
        except SnapshotError:
            for _, event in self._events.read(0):
                if event.number > point.number:
                    break
                fold.take(event)
            return fold


class Walk:
    """A fold on its way through the journal."""

    def __init__(self, fold: MetricsFold, start: Point) -> None:
        self._fold = fold
        self._at = (start.number, start.at_us, start.position)
        self.run_start = start
        """The point before the run that was begun last."""

    def step(self, position: int, event: Event) -> list[Sample]:
        """Take the next event in and return its samples."""
        if event.kind is Kind.RUN_STARTED:
            self.run_start = self.point()
        self._at = (event.number, event.at_us, position)
        return self._fold.take(event)

    def point(self) -> Point:
        """Return the point reached."""
        return Point(*self._at, self._fold.snapshot())
