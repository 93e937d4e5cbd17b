"""The one place where events get their number and time, reach the journal, and are handed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contextcore_install.core.events import DURABLE, TRANSIENT, Event, Kind
from contextcore_install.core.ports import Clock, Journal, Keeper, Projection
from contextcore_install.core.redaction import without_secrets

_KEPT_AS_IT_IS = frozenset({Kind.INSTALLATION_STARTED, Kind.SETTINGS_CHANGED, Kind.STATE_IMPORTED})
"""What holds settings, which later runs act by: paths and names that only look secret. No setting takes a secret."""

_COMMANDS = (("error", "hint"), ("remedy", "command"))
"""Where events hold what a user is to type."""


class Recorder:
    """Appends events to the journal and shows each to every projection, in the caller's thread.

    `number` and `at_us` are those of the journal's last event: numbers follow each other, and times
    grow even where the clock was set back, so that samples made from them keep their order. `typed` makes
    commands in hints those that this user types. What is secret is hidden here, before anything is kept or shown.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        keeper: Keeper,
        projections: Sequence[Projection],
        *,
        typed: Callable[[str], str] = str,
        run_id: str,
        number: int = 0,
        at_us: int = 0,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._keeper = keeper
        self._projections = list(projections)
        self._typed = typed
        self._run_id = run_id
        self._number = number
        self._at_us = at_us
        self._unsynced = False

    def attach(self, projection: Projection) -> None:
        """Show the events from now on to one more."""
        self._projections.append(projection)

    @property
    def number(self) -> int:
        """The number of the journal's last event."""
        return self._number

    def record(self, kind: Kind, step: str = "", **data: Any) -> Event:
        """Make an event of what happened. Transitions want a `sync` before anything acts on them."""
        for place, name in _COMMANDS:
            if place in data and isinstance(data[place], dict):
                data[place] = {**data[place], name: self._typed(str(data[place].get(name, "")))}
        if kind not in _KEPT_AS_IT_IS:
            data = dict(without_secrets(data))
        if kind in TRANSIENT:
            event = Event(0, self._clock.now_us(), self._run_id, kind, step, data)
        else:
            self._number += 1
            self._at_us = max(self._clock.now_us(), self._at_us + 1)
            event = Event(self._number, self._at_us, self._run_id, kind, step, data)
            self._journal.append(event)
            self._unsynced = self._unsynced or kind in DURABLE
        self._keeper.handle(event)
        for projection in self._projections:
            projection.handle(event)
        return event

    @property
    def state_is_behind(self) -> bool:
        """Whether something happened that the state file does not hold yet."""
        return self._keeper.dirty

    def save_state(self) -> None:
        """Write the state file; raises InstallError."""
        self._keeper.save()

    @property
    def is_unsynced(self) -> bool:
        """Whether a transition was recorded that would not survive a crash yet."""
        return self._unsynced

    def sync(self) -> None:
        """Make sure that every transition recorded so far survives a crash."""
        if self._unsynced:
            self._journal.sync()
            self._unsynced = False
