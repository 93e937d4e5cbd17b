"""How far each backend has got in the journal, how it is recognised (cursors.json), and what follows from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic

from contextcore_install.core.dataclass import asdict, dataclass, field, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.interfaces import CursorStore, EventSource
from contextcore_install.telemetry.folds.fold import Fold, Item
from contextcore_install.telemetry.folds.metrics import Sample

TRACES, LOGS = "traces", "logs"  # what the names of cursors begin with that are no metrics store's
MOST_BACKENDS = 60  # those used last are kept; each port that one was reached at counts as another


@dataclass(frozen=True, slots=True)
class Offset:
    """A place in the journal: behind the event that has this number, time (µs) and position.

    `fold` is a snapshot of what is made from the events up to there. It only saves time: without it, or if another
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

    sent: Offset = Offset()
    base: Offset = Offset()
    mark: Sample | None = None
    refused_ms: int = 0
    sent_ms: int = 0
    settled: int = 0

    def as_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {name: value for name, value in asdict(self).items() if value}
        if self.mark:
            document["mark"]["labels"] = dict(self.mark.labels)
        return document


def cursor_from_document(document: Mapping[str, Any]) -> Cursor:
    """Return the cursor that a document holds; a new one if it holds none: sending again is harmless."""
    try:
        mark = document.get("mark")
        return Cursor(
            sent=_offset(document["sent"]),
            base=_offset(document["base"]),
            mark=mark and Sample(mark["name"], tuple(sorted(mark["labels"].items())), mark["value"], mark["at_ms"]),
            **{name: int(document.get(name, 0)) for name in ("refused_ms", "sent_ms", "settled")},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Cursor()


def _offset(document: Mapping[str, Any]) -> Offset:
    number, at_us, position = (int(document[name]) for name in ("number", "at_us", "position"))
    if min(number, at_us, position) < 0:
        raise ValueError("a negative place")
    return Offset(number, at_us, position, dict(document["fold"]))


class SharedCursors:
    """Reads and writes the cursors of all backends, for exporters that work at the same time."""

    def __init__(self, store: CursorStore, lock: threading.Lock) -> None:
        self._store, self._lock = store, lock

    def get(self, name: str) -> Cursor:
        return cursor_from_document(self._store.load().get(name, {}))

    def of_kind(self, kind: str) -> list[Cursor]:
        """Return the cursors of all backends of one kind, the one used last first."""
        found = [item for name, item in self._store.load().items() if name.startswith(f"{kind} ")]
        return [cursor_from_document(item) for item in reversed(found)]

    def last_metrics(self) -> Cursor:
        found = [item for name, item in self._store.load().items() if name.partition(" ")[0] not in {TRACES, LOGS}]
        return cursor_from_document(found[-1] if found else {})

    def put(self, name: str, cursor: Cursor) -> bool:
        """Keep a cursor, and return whether that could be done."""
        with self._lock:
            documents = self._store.load()
            documents.pop(name, None)  # the one used last stands last
            documents[name] = cursor.as_document()
            try:
                self._store.save(dict(list(documents.items())[-MOST_BACKENDS:]))
            except InstallError:
                return False
            return True


class JournalReplacedError(Exception):
    """The journal is not the one that an offset was made from: begun anew, or cut by a crash."""


class BatchReader(Generic[Item]):
    """Reads the journal once behind an offset: each event, with what a fold makes of it."""

    def __init__(self, events: EventSource, cluster: str, fold: type[Fold[Item]], start: Offset) -> None:
        self._events, self._start = events, start
        self._reached = (start.number, start.at_us, start.position)
        restored = fold.restore(cluster, start.fold) if start.number else fold(cluster)
        self._fold = restored or fold(cluster)
        if restored is None:
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

    def batch(self, least: int, weight: Callable[[Item], int]) -> tuple[list[Item], bool]:
        """Return the next items of whole events, which weigh `least` if there are so many, and whether they do."""
        items: list[Item] = []
        for _, made in self:
            items += made
            least -= sum(map(weight, made))
            if least <= 0:
                return items, True
        return items, False

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
