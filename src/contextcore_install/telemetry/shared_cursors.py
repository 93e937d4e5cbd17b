"""The cursors of all backends, which the links to them share."""

from __future__ import annotations

import threading

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import CursorStore
from contextcore_install.telemetry.cursor import Cursor, cursor_from_document

TRACES, LOGS = "traces", "logs"
"""What the names of cursors begin with that are no metrics store's."""


MOST_BACKENDS = 60
"""Of how many backends cursors are kept, those used last: each port that one was reached at counts as another."""


class SharedCursors:
    """Reads and writes cursors.json for links that work at the same time, under one `lock`."""

    def __init__(self, store: CursorStore, lock: threading.Lock) -> None:
        self._store = store
        self._lock = lock

    def get(self, name: str) -> Cursor:
        """Return a backend's cursor; a new one where none is kept."""
        return cursor_from_document(self._store.load().get(name, {}))

    def of_kind(self, kind: str) -> list[Cursor]:
        """Return the cursors of all backends of one kind, the one used last first."""
        documents = self._store.load()
        found = [item for name, item in documents.items() if name.startswith(f"{kind} ")]
        return [cursor_from_document(item) for item in reversed(found)]

    def last_metrics(self) -> Cursor:
        """Return the cursor of the metrics store used last."""
        documents = self._store.load()
        found = [item for name, item in documents.items() if name.partition(" ")[0] not in {TRACES, LOGS}]
        return cursor_from_document(found[-1] if found else {})

    def put(self, name: str, cursor: Cursor) -> bool:
        """Keep a cursor, and say whether that could be done."""
        with self._lock:
            documents = self._store.load()
            documents.pop(name, None)  # the one used last stands last
            documents[name] = cursor.as_document()
            for forgotten in list(documents)[:-MOST_BACKENDS]:
                del documents[forgotten]
            try:
                self._store.save(documents)
            except InstallError:
                return False
            return True
