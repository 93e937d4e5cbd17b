"""The installation's state: a fold of the events, in the plan's own schema.

docs/reference/state.md is the schema for readers outside this program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.events import Event, Kind, known_duration, microseconds, second

SCHEMA_VERSION = "1.0"
STEP_IDS = ("preflight", "cluster_create", "manifests_apply", "pods_ready", "services_verify", "metrics_seed")
"""The plan's six steps, in its order."""

RESTORE_STEP = "manifests_apply"
"""The step behind which a restore fills volumes: what has them is in place, and nothing was waited for yet."""

MEASURING_STEP = "metrics_seed"
"""The step that measures how complete the installation is."""

DATA_STEP = "cluster_create"
"""The step whose undoing may take the data away."""

PENDING, IN_PROGRESS, COMPLETED, FAILED = STATUSES = ("pending", "in_progress", "completed", "failed")

MOST = 10**9
"""More attempts than any step can have."""

STEP_FIELDS = ("status", "attempts", "started_at", "completed_at", "updated_at", "duration_seconds", "error")
_TOP_FIELDS = (
    "version",
    "cluster_name",
    "started_at",
    "updated_at",
    "installation_id",
    "provider",
    "verified_at",
    "settings",
    "data",
    "run",
    "steps",
)


class StateFormatError(ValueError):
    """A document that is not an installation's state; the message says what is wrong with it."""


class NewerSchemaError(StateFormatError):
    """A state written by a newer version of this program."""


@dataclass(slots=True)
class StepState:
    """Where one step stands. Times are RFC 3339 in whole seconds, durations seconds."""

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
        known = {name: getattr(self, name) for name in STEP_FIELDS}
        return {name: value for name, value in known.items() if value or name == "status"} | self.extra


@dataclass(slots=True)
class RunState:
    """The latest run: what it was, and how it ended (`outcome` is empty while it has not)."""

    run_id: str = ""
    mode: str = ""
    started_at: str = ""
    finished_at: str = ""
    outcome: str = ""

    def as_document(self) -> dict[str, str]:
        """Return the run as the state file holds it."""
        fields = ("run_id", "mode", "started_at", "finished_at", "outcome")
        return {name: getattr(self, name) for name in fields if getattr(self, name)}


@dataclass(slots=True)
class State:
    """One installation: the fold of its journal. `apply` is the fold's step."""

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
        """Whether anything was ever installed under this name."""
        return bool(self.started_at)

    @property
    def planned(self) -> dict[str, StepState]:
        """The steps of the plan, which decide where the installation stands; others are kept, and decide nothing."""
        return {step_id: step for step_id, step in self.steps.items() if step_id in STEP_IDS} or self.steps

    @property
    def failed(self) -> list[str]:
        """The ids of the planned steps that failed."""
        return [step_id for step_id, step in self.planned.items() if step.status == FAILED]

    @property
    def progress(self) -> float:
        """The share of the planned steps that are completed, from 0 to 1."""
        done = sum(step.status == COMPLETED for step in self.planned.values())
        return done / len(self.planned) if self.planned else 0.0

    def apply(self, event: Event) -> None:
        """Take one event in. Kinds that say nothing of the state leave it as it is."""
        fold = _FOLDS.get(event.kind)
        if fold is None:
            return
        self.updated_at = second(event.at_us)
        fold(self, event)

    def apply_all(self, events: Iterable[Event]) -> State:
        """Take events in, in order, and return this state."""
        for event in events:
            self.apply(event)
        return self

    def step(self, step_id: str) -> StepState:
        """Return the step's state, pending where nothing is known of it."""
        return self.steps.setdefault(step_id, StepState())

    def as_document(self) -> dict[str, Any]:
        """Return the state in the plan's schema, unknown fields that it was read with included."""
        return self.head_document() | {"steps": {name: step.as_document() for name, step in self.steps.items()}}

    def head_document(self) -> dict[str, Any]:
        """Return the state without its steps."""
        document: dict[str, Any] = {
            "version": SCHEMA_VERSION,
            "cluster_name": self.cluster_name,
            "started_at": self.started_at,
            "updated_at": self.updated_at,
            "installation_id": self.installation_id,
            "provider": self.provider,
            "verified_at": self.verified_at,
            "settings": self.settings,
            "run": self.run.as_document(),
        }
        return document | ({"data": self.data} if self.data else {}) | self.extra


# What a journal holds may have been written by others: whatever stands there, a fold takes it without an error.


def _object(event: Event, name: str) -> dict[str, Any]:
    value = event.data.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def _installation_started(state: State, event: Event) -> None:
    state.installation_id = str(event.data.get("installation_id", ""))
    state.provider = str(event.data.get("provider", ""))
    state.settings = _object(event, "settings")
    state.started_at = state.started_at or second(event.at_us)


def _settings_changed(state: State, event: Event) -> None:
    state.settings = _object(event, "settings")
    state.provider = str(event.data.get("provider", state.provider))


def _run_started(state: State, event: Event) -> None:
    state.cluster_name = str(event.data.get("cluster") or state.cluster_name)
    state.run = RunState(event.run_id, str(event.data.get("mode", "")), second(event.at_us))


def _verified(state: State, event: Event) -> None:
    state.verified_at = second(event.at_us)


def _data_noted(state: State, event: Event) -> None:
    state.data = {str(name): str(identity) for name, identity in _object(event, "data").items()}


def _run_finished(state: State, event: Event) -> None:
    state.run.finished_at = second(event.at_us)
    state.run.outcome = str(event.data.get("outcome", ""))


def _step_started(state: State, event: Event) -> None:
    step = state.step(event.step)
    step.status = IN_PROGRESS
    step.attempts += 1
    step.started_at = step.updated_at = second(event.at_us)
    step.completed_at = ""
    step.duration_seconds = None
    step.error = None


def _step_completed(state: State, event: Event) -> None:
    step = state.step(event.step)
    step.updated_at = second(event.at_us)
    if step.status == COMPLETED and event.data.get("already"):
        return
    step.status = COMPLETED
    step.completed_at = step.updated_at
    step.duration_seconds = event.duration_s
    step.error = None


def _step_failed(state: State, event: Event) -> None:
    step = state.step(event.step)
    step.status = FAILED
    step.updated_at = second(event.at_us)
    step.completed_at = ""
    step.duration_seconds = event.duration_s
    step.error = _object(event, "error")


def _step_invalidated(state: State, event: Event) -> None:
    step = state.step(event.step)
    step.status = PENDING
    step.updated_at = second(event.at_us)
    step.completed_at = ""
    step.error = None


def _step_undo_started(state: State, event: Event) -> None:
    """Work on the step is under way again; where it is cut off, what there is of the step is not known."""
    step = state.step(event.step)
    step.status = IN_PROGRESS
    step.updated_at = second(event.at_us)
    step.completed_at = ""
    step.duration_seconds = None
    step.error = None


def _step_undone(state: State, event: Event) -> None:
    _step_invalidated(state, event)
    if event.step == DATA_STEP:
        state.data = {}  # it went with the cluster, by somebody's wish


def _state_imported(state: State, event: Event) -> None:
    """Become what the imported document says; the event carries the whole of it."""
    cluster = state.cluster_name
    try:
        imported = state_from_document(event.data.get("document"))
    except StateFormatError:
        return
    for name in State.__slots__:
        if name != "updated_at":
            setattr(state, name, getattr(imported, name))
    state.cluster_name = imported.cluster_name or cluster


_FOLDS = {
    Kind.INSTALLATION_STARTED: _installation_started,
    Kind.STATE_IMPORTED: _state_imported,
    Kind.SETTINGS_CHANGED: _settings_changed,
    Kind.RUN_STARTED: _run_started,
    Kind.RUN_FINISHED: _run_finished,
    Kind.VERIFIED: _verified,
    Kind.STEP_STARTED: _step_started,
    Kind.STEP_COMPLETED: _step_completed,
    Kind.STEP_FAILED: _step_failed,
    Kind.STEP_INVALIDATED: _step_invalidated,
    Kind.STEP_UNDO_STARTED: _step_undo_started,
    Kind.STEP_UNDONE: _step_undone,
    Kind.DATA_NOTED: _data_noted,
}


def state_from_document(document: object) -> State:
    """Return the state that a document in the plan's schema holds.

    Takes what this program writes, the plan's own example, and what the plan's bash functions leave
    behind (steps without times, or no steps at all). Unknown fields are kept.

    Raises StateFormatError, and NewerSchemaError where the version is one this program does not know.
    """
    top = _mapping(document, "the document")
    version = top.get("version")
    if version != SCHEMA_VERSION:
        raise _wrong_version(version)
    run = _mapping(top.get("run", {}), "run")
    state = State(
        cluster_name=_text(top, "cluster_name", "the document"),
        installation_id=_text(top, "installation_id", "the document"),
        provider=_text(top, "provider", "the document"),
        started_at=_time(top, "started_at", "the document"),
        updated_at=_time(top, "updated_at", "the document"),
        verified_at=_time(top, "verified_at", "the document"),
        settings=dict(_mapping(top.get("settings", {}), "settings")),
        data={name: str(value) for name, value in _mapping(top.get("data", {}), "data").items()},
        run=RunState(*(_text(run, name, "run") for name in RunState.__slots__)),
        extra={key: value for key, value in top.items() if key not in _TOP_FIELDS},
    )
    for step_id, step in _mapping(top.get("steps", {}), "steps").items():
        state.steps[step_id] = _step_from_document(step_id, step)
    return state


def _step_from_document(step_id: str, document: object) -> StepState:
    where = f"step {step_id!r}"
    fields = _mapping(document, where)
    status = fields.get("status", PENDING)
    if status not in STATUSES:
        raise StateFormatError(f"{where} has the unknown status {str(status)[:40]!r}")
    attempts = fields.get("attempts", 0)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or not 0 <= attempts < MOST:
        raise StateFormatError(f"{where} has attempts that are no count")
    duration = fields.get("duration_seconds")
    if duration is not None and known_duration(duration) is None:
        raise StateFormatError(f"{where} has a duration that is no number")
    error = fields.get("error")
    return StepState(
        status=status,
        attempts=attempts,
        started_at=_time(fields, "started_at", where),
        completed_at=_time(fields, "completed_at", where),
        updated_at=_time(fields, "updated_at", where),
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
