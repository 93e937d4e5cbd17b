"""The installation's state: a fold of the events (docs/reference/state.md is its schema)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contextcore_install.core.dataclass import Any, dataclass, field
from contextcore_install.core.events import DURABLE, Event, Kind, known_duration, microseconds, second
from contextcore_install.engine.names import STATUSES, STEP_IDS

SCHEMA_VERSION = "1.0"
RESTORE_STEP = "manifests_apply"  # a restore fills the volumes with it: what has them is in place then
MEASURING_STEP = "metrics_seed"  # measures how complete the installation is
CLUSTER_STEP = "cluster_create"  # makes the place for data and records; undoing it may take them away
PENDING, IN_PROGRESS, COMPLETED, FAILED = STATUSES
MOST_ATTEMPTS = 10**9  # more than any step can have


class StateFormatError(ValueError):
    """A document that is not an installation's state; the message says what is wrong with it."""


class NewerSchemaError(StateFormatError):
    """A state written by a newer version of this program."""


@dataclass(slots=True)
class StepState:
    """The state of one step. Times are RFC 3339 in whole seconds, durations seconds."""

    status: str = PENDING
    attempts: int = 0
    started_at: str = ""
    completed_at: str = ""
    updated_at: str = ""
    duration_seconds: float | None = None
    error: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Return the step as the state file holds it, without what is not known."""
        return {name: value for name in STEP_FIELDS if (value := getattr(self, name))} | self.extra


STEP_FIELDS = tuple(name for name in StepState.__slots__ if name != "extra")


@dataclass(slots=True)
class RunState:
    """The latest run (`outcome` is empty until it has ended)."""

    run_id: str = ""
    mode: str = ""
    started_at: str = ""
    finished_at: str = ""
    outcome: str = ""

    def as_document(self) -> dict[str, str]:
        """Return the run as the state file holds it."""
        return {name: value for name in RunState.__slots__ if (value := getattr(self, name))}


@dataclass(slots=True)
class State:
    """One installation: the fold of its journal. `extra` has the fields that others keep in the file."""

    cluster_name: str
    installation_id: str = ""
    provider: str = ""
    started_at: str = ""
    updated_at: str = ""
    verified_at: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    run: RunState = field(default_factory=RunState)
    steps: dict[str, StepState] = field(default_factory=lambda: {step: StepState() for step in STEP_IDS})
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return bool(self.started_at)

    @property
    def planned(self) -> dict[str, StepState]:
        """The steps of the plan, which make up the progress; others are kept, and do not count."""
        return {step_id: step for step_id, step in self.steps.items() if step_id in STEP_IDS} or self.steps

    @property
    def failed(self) -> list[str]:
        return [step_id for step_id, step in self.planned.items() if step.status == FAILED]

    @property
    def progress(self) -> float:
        """The share of the planned steps that are completed, from 0 to 1."""
        done = sum(step.status == COMPLETED for step in self.planned.values())
        return done / len(self.planned) if self.planned else 0.0

    def apply(self, event: Event) -> None:
        """Take one event in; many kinds change nothing.

        A journal may have been written by others: whatever stands in an event is taken without an error.
        """
        if event.kind in _STATUS_AFTER:
            _apply_to_step(self.step(event.step), event)
            if event.kind is Kind.STEP_UNDONE and event.step == CLUSTER_STEP:
                self.data = {}  # it went with the cluster, by somebody's wish
        elif event.kind in _OF_INSTALLATION:
            self._apply_to_installation(event)
        else:
            return
        self.updated_at = second(event.at_us)

    def _apply_to_installation(self, event: Event) -> None:
        at, data = second(event.at_us), event.data
        match event.kind:
            case Kind.INSTALLATION_STARTED:
                self.installation_id = str(data.get("installation_id", ""))
                self.provider = str(data.get("provider", ""))
                self.settings = _object(event, "settings")
                self.started_at = self.started_at or at
            case Kind.SETTINGS_CHANGED:
                self.settings = _object(event, "settings")
                self.provider = str(data.get("provider", self.provider))
            case Kind.RUN_STARTED:
                self.cluster_name = str(data.get("cluster") or self.cluster_name)
                self.run = RunState(event.run_id, str(data.get("mode", "")), at)
            case Kind.RUN_FINISHED:
                self.run.finished_at, self.run.outcome = at, str(data.get("outcome", ""))
            case Kind.VERIFIED:
                self.verified_at = at
            case Kind.DATA_NOTED:
                self.data = {str(name): str(identity) for name, identity in _object(event, "data").items()}
            case Kind.STATE_IMPORTED:
                self._become(data.get("document"))

    def _become(self, document: object) -> None:
        """Take over an imported document, which is whole; one that holds no state changes nothing."""
        try:
            imported = state_from_document(document)
        except StateFormatError:
            return
        imported.cluster_name = imported.cluster_name or self.cluster_name
        for name in State.__slots__:
            setattr(self, name, getattr(imported, name))

    def apply_all(self, events: Iterable[Event]) -> State:
        for event in events:
            self.apply(event)
        return self

    def step(self, step_id: str) -> StepState:
        """Return a step's state, pending if nothing is known of it."""
        if step_id not in self.steps:
            self.steps[step_id] = StepState()
        return self.steps[step_id]

    def as_document(self) -> dict[str, Any]:
        """Return the state as the state file holds it, with the fields of others."""
        return self.head_document() | {"steps": {name: step.as_document() for name, step in self.steps.items()}}

    def head_document(self) -> dict[str, Any]:
        texts = ("cluster_name", "started_at", "updated_at", "installation_id", "provider", "verified_at")
        document: dict[str, Any] = {"version": SCHEMA_VERSION} | {name: getattr(self, name) for name in texts}
        document |= {"settings": self.settings, "run": self.run.as_document()}
        return document | ({"data": self.data} if self.data else {}) | self.extra


_STATUS_AFTER = {
    Kind.STEP_STARTED: IN_PROGRESS,
    Kind.STEP_COMPLETED: COMPLETED,
    Kind.STEP_FAILED: FAILED,
    Kind.STEP_INVALIDATED: PENDING,
    Kind.STEP_UNDO_STARTED: IN_PROGRESS,  # if the undo is cut off, what is left of the step is not known
    Kind.STEP_UNDONE: PENDING,
}
_OF_INSTALLATION = DURABLE - _STATUS_AFTER.keys() - {Kind.WATCH_REMEDIED, Kind.WATCH_GAVE_UP} | {Kind.DATA_NOTED}


def _apply_to_step(step: StepState, event: Event) -> None:
    step.updated_at = at = second(event.at_us)
    if event.kind is Kind.STEP_COMPLETED and step.status == COMPLETED and event.data.get("already"):
        return
    step.status, step.completed_at, step.error = _STATUS_AFTER[event.kind], "", None
    match event.kind:
        case Kind.STEP_STARTED:
            step.attempts += 1
            step.started_at, step.duration_seconds = at, None
        case Kind.STEP_COMPLETED:
            step.completed_at, step.duration_seconds = at, event.duration_s
        case Kind.STEP_FAILED:
            step.duration_seconds, step.error = event.duration_s, _object(event, "error")
        case Kind.STEP_UNDO_STARTED:
            step.duration_seconds = None


def _object(event: Event, name: str) -> dict[str, Any]:
    value = event.data.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def state_from_document(document: object) -> State:
    """Return the state that a document holds.

    Takes what this program writes, and what the plan's bash functions leave behind (steps without times, or no steps at
    all). Unknown fields are kept. Raises StateFormatError; NewerSchemaError if this program does not know the version.
    """
    where = "the document"
    top = _mapping(document, where)
    if top.get("version") != SCHEMA_VERSION:
        raise _wrong_version(top.get("version"))
    run = _mapping(top.get("run", {}), "run")
    steps = _mapping(top.get("steps", {}), "steps")
    return State(
        **{name: _text(top, name, where) for name in ("cluster_name", "installation_id", "provider")},
        **{name: _time(top, name, where) for name in ("started_at", "updated_at", "verified_at")},
        settings=dict(_mapping(top.get("settings", {}), "settings")),
        data={name: str(value) for name, value in _mapping(top.get("data", {}), "data").items()},
        run=RunState(*(_text(run, name, "run") for name in RunState.__slots__)),
        steps={name: StepState() for name in STEP_IDS} | {name: _step(step, name) for name, step in steps.items()},
        extra={key: value for key, value in top.items() if key == "extra" or key not in ("version", *State.__slots__)},
    )


def _step(document: object, step_id: str) -> StepState:
    where = f"step {step_id!r}"
    fields = _mapping(document, where)
    status, attempts = fields.get("status", PENDING), fields.get("attempts", 0)
    duration, error = fields.get("duration_seconds"), fields.get("error")
    if status not in STATUSES:
        raise StateFormatError(f"{where} has the unknown status {str(status)[:40]!r}")
    if not isinstance(attempts, int) or isinstance(attempts, bool) or not 0 <= attempts < MOST_ATTEMPTS:
        raise StateFormatError(f"{where} has attempts that are no count")
    if duration is not None and known_duration(duration) is None:
        raise StateFormatError(f"{where} has a duration that is no number")
    return StepState(
        status,
        attempts,
        **{name: _time(fields, name, where) for name in ("started_at", "completed_at", "updated_at")},
        duration_seconds=duration,
        error=None if error is None else dict(_mapping(error, f"the error of {where}")),
        extra={key: value for key, value in fields.items() if key not in STEP_FIELDS},
    )


def _wrong_version(version: object) -> StateFormatError:
    if version is None:
        return StateFormatError("it names no schema version")
    if isinstance(version, str) and version.replace(".", "", 1).isdecimal():
        return NewerSchemaError(f"it has schema version {version[:20]}, and this program reads {SCHEMA_VERSION}")
    return StateFormatError(f"it has the unknown schema version {str(version)[:40]!r}")


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise StateFormatError(f"{where} is not an object")
    return value


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise StateFormatError(f"{name} of {where} is not text")
    return value


def _time(fields: Mapping[str, Any], name: str, where: str) -> str:
    text = _text(fields, name, where)
    if text:
        try:
            microseconds(text)
        except (ValueError, OverflowError):
            raise StateFormatError(f"{name} of {where} is no time: {text[:40]!r}") from None
    return text
