"""How far a backend has got in the journal, and whether it is still the one that we think it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.telemetry.folds.metrics import Sample


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the journal: behind the event that has this number, time (µs) and position.

    `fold` is a snapshot of what is made from the events there. It only saves time: without it, or where another
    version of the fold made it, the journal is folded from its start.
    """

    number: int = 0
    at_us: int = 0
    position: int = 0
    fold: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one backend has taken: all that is made from the events up to `sent`.

    The rest is the metrics store's alone. `mark` is the newest sample that it took: a store that does not show it
    has lost its data, or is another one. `base` is where reading back begins. `refused_ms` is the time of the newest
    sample that it refused for good (0 for none): nothing up to it is missed. `sent_ms` is when it took something last,
    and `settled` the number of the event up to which a crash can cost it nothing any more.
    """

    sent: Point = Point()
    base: Point = Point()
    mark: Sample | None = None
    refused_ms: int = 0
    sent_ms: int = 0
    settled: int = 0

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
        for name in _NUMBERS:
            if number := getattr(self, name):
                document[name] = number
        return document


_NUMBERS = ("refused_ms", "sent_ms", "settled")


def cursor_from_document(document: Mapping[str, Any]) -> Cursor:
    """Return the cursor that a document holds; a new one where it holds none: sending again is harmless."""
    try:
        mark = document.get("mark")
        return Cursor(
            sent=_point(document["sent"]),
            base=_point(document["base"]),
            mark=mark and Sample(mark["name"], tuple(sorted(mark["labels"].items())), mark["value"], mark["at_ms"]),
            **{name: int(document.get(name, 0)) for name in _NUMBERS},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Cursor()


def _point_document(point: Point) -> dict[str, Any]:
    return {"number": point.number, "at_us": point.at_us, "position": point.position, "fold": dict(point.fold)}


def _point(document: Mapping[str, Any]) -> Point:
    number, at_us, position = (int(document[name]) for name in ("number", "at_us", "position"))
    if min(number, at_us, position) < 0:
        raise ValueError("a negative place")
    return Point(number, at_us, position, dict(document["fold"]))
