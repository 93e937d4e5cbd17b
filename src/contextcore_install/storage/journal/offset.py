"""How far into a journal something reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalOffset:
    """The end of a journal's part: its last event's number and time (microseconds UTC), and its bytes."""

    events: int = 0
    bytes: int = 0
    at_us: int = 0


START = JournalOffset()
