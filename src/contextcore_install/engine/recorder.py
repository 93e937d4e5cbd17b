"""The one place in which events get their number and time, reach the journal, and are handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import DURABLE, START, TRANSIENT, Event, JournalOffset, Kind
from contextcore_install.core.interfaces import Clock, Journal, Projection, StateProjection
from contextcore_install.core.redaction import without_secrets

_NOT_REDACTED = frozenset({Kind.INSTALLATION_STARTED, Kind.SETTINGS_CHANGED, Kind.STATE_IMPORTED})
"""Settings hold paths and names that only look secret, and later runs need them. No setting takes a secret."""

_COMMANDS = (("error", "hint"), ("remedy", "command"))  # where events hold what a user is to type


@dataclass(eq=False)
class Recorder:
    """Appends events to the journal and shows each to every projection, in the caller's thread.

    Numbers follow each other, from the journal's `end` on, and times grow even if the clock was set back. `typed` makes
    commands in hints those that this user types. Secrets are hidden here, before anything is kept or shown.
    """

    journal: Journal
    clock: Clock
    keeper: StateProjection
    projections: list[Projection]
    run_id: str
    end: JournalOffset = START
    typed: Callable[[str], str] = str

    def __post_init__(self) -> None:
        self.number, self._at_us = self.end.events, self.end.at_us
        self.is_unsynced = False
        self.attach, self.save_state = self.projections.append, self.keeper.save

    def record(self, kind: Kind, step: str = "", **data: Any) -> Event:
        """Make an event of what happened. Transitions want a `sync` before anything acts on them."""
        for place, name in _COMMANDS:
            if place in data and isinstance(data[place], dict):
                data[place] = {**data[place], name: self.typed(str(data[place].get(name, "")))}
        if data and kind not in _NOT_REDACTED:
            data = dict(without_secrets(data))
        if kind in TRANSIENT:
            event = Event(0, self.clock.now_us(), self.run_id, kind, step, data)
        else:
            self.number += 1
            self._at_us = max(self.clock.now_us(), self._at_us + 1)
            event = Event(self.number, self._at_us, self.run_id, kind, step, data)
            self.journal.append(event)
            self.is_unsynced = self.is_unsynced or kind in DURABLE
        for projection in (self.keeper, *self.projections):
            projection.handle(event)
        return event

    @property
    def state_is_behind(self) -> bool:
        """Whether something happened that the state file does not hold yet."""
        return self.keeper.dirty

    def sync(self) -> None:
        """Make sure that every transition recorded so far survives a crash."""
        if self.is_unsynced:
            self.journal.sync()
            self.is_unsynced = False
