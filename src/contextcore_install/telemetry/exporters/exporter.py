"""What all exporters do: find a backend, and send it what it lacks of the journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.interfaces import EventSource
from contextcore_install.telemetry.cursors import BatchReader, Cursor, JournalReplacedError, Offset, SharedCursors
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import Loss
from contextcore_install.telemetry.folds.fold import Fold, Item

SERVICE = "contextcore-install"
JSON_HEADERS = {"Content-Type": "application/json", "User-Agent": SERVICE}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one batch: how many items were sent, which were refused, whether more are waiting."""

    sent: int
    lost: Loss | None
    more: bool


class Exporter(ABC, Generic[Item]):
    """Sends to one backend, from its cursor on, for one thread at a time. What talks to it raises StoreError."""

    fold: ClassVar[type[Fold[Any]]]
    cursor_prefix: ClassVar[str] = ""
    batch_size = 500  # in the measure of `_weight`, far below every backend's limit

    def __init__(self, base_url: str, events: EventSource, cursors: SharedCursors, cluster: str) -> None:
        self.client = Client(base_url)
        self.cursor = self._saved = Cursor()
        self._events, self._cursors, self._cluster = events, cursors, cluster
        self._name = ""

    def connect(self) -> None:
        """Make sure of the backend, and find out what it has: its cursor goes by its name in cursors.json."""
        self.client.open()
        self._name = f"{self.cursor_prefix} {self.client.base_url}"
        self.cursor = self._cursors.get(self._name)

    def reset_cursor(self) -> None:
        """Have everything sent again that the backend lacks of the whole journal."""
        self.cursor = Cursor()

    def read_from(self, offset: Offset) -> BatchReader[Item]:
        return BatchReader(self._events, self._cluster, self.fold, offset)

    def deliver(self) -> Delivery:
        """Send the next batch; the cursor moves only when the backend has taken it."""
        try:
            items, more = (reader := self.read_from(self.cursor.sent)).batch(self.batch_size, self._weight)
        except JournalReplacedError:
            self.reset_cursor()
            items, more = (reader := self.read_from(self.cursor.sent)).batch(self.batch_size, self._weight)
        sent, lost = self._send(items) if items else (0, None)
        self.cursor = replace(self.cursor, sent=reader.offset())
        if items:
            self.save()
        return Delivery(sent, lost, more)

    def save(self) -> None:
        """Keep the cursor. If that fails, what was sent is looked up later, or sent again."""
        if self._saved != self.cursor and self._cursors.put(self._name, self.cursor):
            self._saved = self.cursor

    def _weight(self, item: Item) -> int:
        """Return what an item counts in a batch."""
        return 1

    @abstractmethod
    def _send(self, items: Sequence[Item]) -> tuple[int, Loss | None]:
        """Have the backend take items, of which there is at least one; return how many it took, and what it refused."""
