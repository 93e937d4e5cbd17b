"""The way to one store: found, recognised, and given what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import CursorStore, EventSource
from contextcore_install.telemetry.backends import Backend, probe
from contextcore_install.telemetry.client import Client, Patience
from contextcore_install.telemetry.cursor import Cursor, Feed, JournalReplacedError, cursor_from_document
from contextcore_install.telemetry.metrics import Sample
from contextcore_install.telemetry.readback import absent, absent_after_wait
from contextcore_install.telemetry.remote_write import Refusal, send

BATCH = 1000
"""Samples a request: some 15 kB, far below every store's limit."""

_VISIBLE_S = 1.5
"""How long a store may take, in seconds, to show the newest sample before it counts as another store."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one batch: how many samples went out, which were refused, whether more are waiting."""

    sent: int
    refused: tuple[Refusal, ...] = ()
    more: bool = False


class Link:
    """A connection to the store at one URL, with its cursor. For one thread at a time.

    Raises StoreError from every method that talks to the store.
    """

    def __init__(self, base_url: str, events: EventSource, cursors: CursorStore, cluster: str) -> None:
        self.client = Client(base_url)
        self.cursor = Cursor()
        self.feed = Feed(events, cluster)
        self._cursors = cursors
        self._cluster = cluster
        self._backend: Backend | None = None
        self._doubtful = True
        self._saved = self.cursor

    @property
    def connected(self) -> bool:
        """Whether the store was found, and has not failed since."""
        return self._backend is not None

    @property
    def backend(self) -> Backend:
        """The store; only while connected."""
        if self._backend is None:
            raise RuntimeError("not connected")
        return self._backend

    def connect(self, patience: Patience) -> None:
        """Find out what the store is and what it has."""
        backend = probe(self.client, patience)
        self.cursor = self._adopt(backend, patience)
        self._backend, self._doubtful = backend, True

    def disconnect(self) -> None:
        """Close; the next `connect` looks at the store anew, as it may have lost its data meanwhile."""
        self.client.close()
        self._backend = None

    def distrust(self) -> None:
        """Take back that the store has anything: what it lacks of all the journal is sent again."""
        self.cursor, self._doubtful = Cursor(), True

    def deliver(self, patience: Callable[[], Patience]) -> Delivery:
        """Send the next batch; the cursor moves only when the store has taken it.

        What may have been sent before (by a process that ended before it could note it, by a request
        without an answer) is looked up first, as not every store takes a sample twice.
        """
        try:
            samples, reached = self.feed.batch(self.cursor.sent, BATCH)
        except JournalReplacedError:
            self.distrust()
            samples, reached = self.feed.batch(self.cursor.sent, BATCH)
        wanted = self._lacking(samples, patience()) if self._doubtful else samples
        self._doubtful = True  # until there is an answer
        refused = send(self.client, self.backend.write_path, wanted, patience()) if wanted else []
        lost = self._really_absent(refused, patience())
        more = len(samples) >= BATCH
        self._doubtful = more and len(wanted) < len(samples)
        gone = {refusal.sample for refusal in refused}
        mark = next((sample for sample in reversed(samples) if sample not in gone), self.cursor.mark)
        refused_ms = max([self.cursor.refused_ms, *(refusal.sample.at_ms for refusal in lost)])
        self.cursor = replace(self.cursor, sent=reached, mark=mark, refused_ms=refused_ms)
        if samples:
            self.save()
        return Delivery(len(wanted) - len(refused), tuple(lost), more)

    def save(self) -> None:
        """Keep the cursor. Failing to is no trouble: what was sent is then looked up, or sent again."""
        if self._saved == self.cursor or self._backend is None:
            return
        cursors = self._cursors.load()
        name = cursor_name(self._backend)
        cursors.pop(name, None)  # the store used last stands last
        cursors[name] = self.cursor.as_document()
        try:
            self._cursors.save(cursors)
            self._saved = self.cursor
        except InstallError:
            pass

    def _adopt(self, backend: Backend, patience: Patience) -> Cursor:
        """Return the cursor of this store: one whose newest sample it shows, first of all its own.

        So a store that lost its data, or another one at the same port, gets everything, and the same
        store at another port is recognised.
        """
        documents = self._cursors.load()
        own = documents.pop(cursor_name(backend), {})
        others = [item for name, item in documents.items() if name.startswith(f"{backend.kind} ")]
        for document, limit_s in [(own, _VISIBLE_S), *((other, 0.0) for other in reversed(others))]:
            cursor = cursor_from_document(document)
            if cursor.mark and not self._lacking_after(cursor.mark, backend, patience, limit_s):
                return cursor
        return Cursor()

    def _lacking_after(self, mark: Sample, backend: Backend, patience: Patience, limit_s: float) -> bool:
        return bool(absent_after_wait(self.client, backend, self._cluster, [mark], patience, limit_s))

    def _lacking(self, samples: Sequence[Sample], patience: Patience) -> list[Sample]:
        missing = absent(self.client, self.backend, self._cluster, samples, patience)
        return [absence.sample for absence in missing]

    def _really_absent(self, refused: Sequence[Refusal], patience: Patience) -> list[Refusal]:
        """Return the refused samples that the store does not have: it may refuse what it has."""
        lacking = set(self._lacking([refusal.sample for refusal in refused], patience))
        return [refusal for refusal in refused if refusal.sample in lacking]


def cursor_name(backend: Backend) -> str:
    """Return the name that a store's cursor goes by in cursors.json."""
    return f"{backend.kind} {backend.base_url}"
