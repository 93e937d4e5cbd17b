"""cursors.json: what each telemetry backend has taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.storage.files import (
    UnreadableFileError,
    parse_json,
    quarantine,
    read_regular,
    write_atomically,
)


class CursorFile:
    """The CursorStore on disk. An unreadable file counts as empty: sending again is harmless."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, dict[str, Any]]:
        try:
            document = parse_json(read_regular(self._path) or b"{}")
        except (UnreadableFileError, InstallError):
            return {}
        cursors = document.items() if isinstance(document, dict) else ()
        return {name: cursor for name, cursor in cursors if isinstance(cursor, dict)}

    def forget(self) -> None:
        """Reset the cursors, which count the events of a journal that is gone. Raises InstallError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:  # a folder, say
            quarantine(self._path)

    def save(self, cursors: Mapping[str, Mapping[str, Any]]) -> None:
        # On one line: a run does this every second, and the C encoder of `json` makes no indented text.
        write_atomically(self._path, json.dumps(dict(cursors)).encode(), durable=False)
