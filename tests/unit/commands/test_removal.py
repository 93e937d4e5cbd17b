"""What `rollback` and `delete` do around the lock."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from contextcore_install.commands.removal import rollback
from contextcore_install.storage.home import Home
from contextcore_install.system.lock import owner_of
from kit.installed_records import app, write_records


class Watched(io.StringIO):
    """A terminal that notes who holds a lock whenever something is said."""

    def __init__(self, lock: Path) -> None:
        super().__init__()
        self._lock = lock
        self.owners: list[Any] = []

    def write(self, text: str) -> int:
        self.owners.append(owner_of(self._lock))
        return super().write(text)


def test_a_rollback_without_anything_to_undo_says_so_when_others_may_work(tmp_path: Path) -> None:
    write_records(tmp_path)
    said = Watched(Home(tmp_path / "home").cluster("test").lock)
    assert rollback(app(tmp_path, "rollback", "--to", "preflight", stdout=said)) == 0
    assert "test has nothing to undo" in said.getvalue()
    assert said.owners == [None] * len(said.owners)
