"""Keeps the state file close behind the events."""

from __future__ import annotations

from pathlib import Path

from contextcore_install.core.events import TRANSIENT, Event, Kind
from contextcore_install.engine.state import State
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.state_file import StateWriter


class StateKeeper:
    """Folds events into the state, and writes it when the engine says that it is time."""

    def __init__(self, path: Path, state: State, journal: JournalWriter) -> None:
        self._writer = StateWriter(path)
        self._journal = journal
        self.state = state
        self.dirty = False

    def handle(self, event: Event) -> None:
        """Take one event in."""
        if event.kind in TRANSIENT:
            return
        self.state.apply(event)
        self.dirty = True
        if event.kind is Kind.STATE_IMPORTED:
            self._writer.forget_all()
        elif event.step:
            self._writer.forget(event.step)

    def save(self) -> None:
        """Write the state file if anything happened since the last time; raises InstallError."""
        if self.dirty:
            self._writer.save(self.state, self._journal.mark)
            self.dirty = False
