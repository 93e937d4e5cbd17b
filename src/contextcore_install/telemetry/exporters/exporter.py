"""The way to one backend: found, and given what it lacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic

from contextcore_install.telemetry.batches import BatchReader, JournalReplacedError
from contextcore_install.telemetry.cursor import Cursor
from contextcore_install.telemetry.exporters.client import Client, Timeouts
from contextcore_install.telemetry.folds.fold import Item
from contextcore_install.telemetry.shared_cursors import SharedCursors


@dataclass(frozen=True, slots=True)
class Loss:
    """What a backend will never take: how many items, and its words for it."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one batch: how many items went out, which were refused, whether more are waiting."""

    sent: int = 0
    lost: Loss | None = None
    more: bool = False


class Exporter(ABC, Generic[Item]):
    """A connection to the backend at one URL, with its cursor. For one thread at a time.

    Raises StoreError from every method that talks to the backend.
    """

    batch = 1000
    """Items a delivery: far below every backend's limit."""

    def __init__(self, base_url: str, feed: BatchReader[Item], book: SharedCursors) -> None:
        self.client = Client(base_url)
        self.cursor = Cursor()
        self.feed = feed
        self._book = book
        self._name = ""
        self._saved = self.cursor

    @property
    def connected(self) -> bool:
        """Whether the backend was found, and has not failed since."""
        return bool(self._name)

    def connect(self, patience: Timeouts) -> None:
        """Find out what the backend is and what it has."""
        name = self._find(patience)
        self.cursor = self._adopt(name, patience)
        self._name = name

    def disconnect(self) -> None:
        """Close; the next `connect` looks at the backend anew, as it may have lost its data meanwhile."""
        self.client.close()
        self._name = ""

    def distrust(self) -> None:
        """Take back that the backend has anything: what it lacks of all the journal is sent again."""
        self.cursor = Cursor()

    def deliver(self, patience: Callable[[], Timeouts]) -> Delivery:
        """Send the next batch; the cursor moves only when the backend has taken it."""
        try:
            items, reached = self.feed.batch(self.cursor.sent, self.batch)
        except JournalReplacedError:
            self.distrust()
            items, reached = self.feed.batch(self.cursor.sent, self.batch)
        more = len(items) >= self.batch
        delivery = self._give(items, patience, more=more) if items else Delivery()
        self.cursor = replace(self.cursor, sent=reached)
        if items:
            self.save()
        return delivery

    def save(self) -> None:
        """Keep the cursor. Failing to is no trouble: what was sent is then looked up, or sent again."""
        if self._saved != self.cursor and self._name and self._book.put(self._name, self.cursor):
            self._saved = self.cursor

    @abstractmethod
    def _find(self, patience: Timeouts) -> str:
        """Make sure of the backend, and return the name that its cursor goes by in cursors.json."""

    def _adopt(self, name: str, patience: Timeouts) -> Cursor:
        """Return the cursor that counts for this backend."""
        return self._book.get(name)

    @abstractmethod
    def _give(self, items: Sequence[Item], patience: Callable[[], Timeouts], *, more: bool) -> Delivery:
        """Have the backend take items, of which there is at least one; `more` says whether others wait."""
