"""Events: everything that is recorded or shown is made from these (docs/reference/events.md is their schema)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from contextcore_install.core.dataclass import Any, dataclass, field


class Kind(StrEnum):
    """What happened."""

    INSTALLATION_STARTED = "installation_started"
    STATE_IMPORTED = "state_imported"
    SETTINGS_CHANGED = "settings_changed"
    RUN_STARTED = "run_started"
    RUN_FINISHED = "run_finished"
    HEARTBEAT = "heartbeat"
    STEP_CHECKING = "step_checking"
    STEP_STARTED = "step_started"
    STEP_RETRYING = "step_retrying"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_INVALIDATED = "step_invalidated"
    STEP_UNDO_STARTED = "step_undo_started"
    STEP_UNDONE = "step_undone"
    PART_STARTED = "part_started"
    PART_FINISHED = "part_finished"
    COMMAND_FINISHED = "command_finished"
    FINDING = "finding"
    NOTICE = "notice"
    VERIFIED = "verified"
    DATA_NOTED = "data_noted"
    WATCH_LOOKED = "watch_looked"
    WATCH_REMEDIED = "watch_remedied"
    WATCH_GAVE_UP = "watch_gave_up"
    ACTIVITY = "activity"
    OUTPUT = "output"
    TICK = "tick"
    UNKNOWN = ""  # written by a newer version of this program; the event's `data` names the kind


TRANSIENT = frozenset({Kind.STEP_CHECKING, Kind.ACTIVITY, Kind.OUTPUT, Kind.TICK})
"""Shown while they happen and never written to the journal."""

DURABLE = frozenset(
    {Kind.INSTALLATION_STARTED, Kind.STATE_IMPORTED, Kind.SETTINGS_CHANGED, Kind.RUN_STARTED, Kind.RUN_FINISHED}
    | {Kind.STEP_STARTED, Kind.STEP_COMPLETED, Kind.STEP_FAILED, Kind.STEP_INVALIDATED}
    | {Kind.STEP_UNDO_STARTED, Kind.STEP_UNDONE, Kind.VERIFIED, Kind.WATCH_REMEDIED, Kind.WATCH_GAVE_UP}
)
"""Transitions: the journal is synced before anything acts on them."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run.

    `number` counts from 1 in the journal (0 for transient events); `at_us` is UTC in microseconds since 1970, and grows
    strictly within a journal.
    """

    number: int
    at_us: int
    run_id: str
    kind: Kind
    step: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stands_alone(self) -> bool:
        """Whether the event is all of its run: the result of `verify`, which changes nothing."""
        return self.kind is Kind.VERIFIED and "mode" in self.data

    def follows(self, number: int) -> bool:
        """Whether no event between that number and this one is missing; an imported state needs none before it."""
        return self.number == number + 1 or self.kind is Kind.STATE_IMPORTED

    @property
    def duration_s(self) -> float | None:
        """How long it took, in seconds; None if that is not known."""
        return known_duration(self.data.get("duration_seconds"))

    def as_document(self) -> dict[str, Any]:
        """Return the event as one JSON object: the journal's line and `--output json`'s."""
        step = {"step": self.step} if self.step else {}
        envelope = {"number": self.number, "at": instant(self.at_us), "run_id": self.run_id, "kind": str(self.kind)}
        return {**envelope, **step, **self.data}


_LONGEST_S = 10**9


def known_duration(value: object) -> float | None:
    """Return seconds from a document from outside; None unless it is a number from 0 to some decades."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST_S:
        return float(value)
    return None


_ENVELOPE = frozenset({"number", "at", "run_id", "kind", "step"})


def event_from_document(document: Mapping[str, Any]) -> Event:
    """Return the event that a journal line holds; raises ValueError or KeyError if it holds none.

    An event of an unknown kind changes no fold, and is written as it was read.
    """
    name = document["kind"]
    if not isinstance(name, str) or not name:
        raise ValueError("no kind")
    kind = _KINDS.get(name, Kind.UNKNOWN)
    known = _ENVELOPE - {"kind"} if kind is Kind.UNKNOWN else _ENVELOPE
    return Event(
        number=int(document["number"]),
        at_us=microseconds(document["at"]),
        run_id=str(document["run_id"]),
        kind=kind,
        step=str(document.get("step", "")),
        data={key: value for key, value in document.items() if key not in known},
    )


_KINDS = {kind.value: kind for kind in Kind if kind is not Kind.UNKNOWN}


def instant(at_us: int) -> str:
    """Return a time as RFC 3339, in UTC with microseconds."""
    seconds, fraction = divmod(at_us, 1_000_000)
    return f"{_to_the_second(seconds)}.{fraction:06d}Z"


def second(at_us: int) -> str:
    """Return a time as the state file holds it: whole seconds, as jq's fromdateiso8601 reads them."""
    return _to_the_second(at_us // 1_000_000) + "Z"


_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, which RFC 3339 can write


@lru_cache(maxsize=8)  # a second has many events
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC).isoformat()[:19]


def microseconds(text: str) -> int:
    """Return an RFC 3339 time as microseconds since 1970; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass(frozen=True, slots=True)
class JournalOffset:
    """How far into a journal something reaches: its last event's number and time (microseconds UTC), and its bytes."""

    events: int = 0
    bytes: int = 0
    at_us: int = 0


START = JournalOffset()
