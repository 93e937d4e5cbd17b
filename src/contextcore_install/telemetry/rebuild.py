"""The state as the store's samples tell it, for when the state file and the journal are gone.

It is the fold of the metrics read backwards (telemetry/folds/metrics.py). Samples say when each step changed and how
often it was begun; they do not say why one failed, in which mode a run was, nor the installation's id and settings.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise, takewhile
from uuid import NAMESPACE_URL, uuid5

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import RESUME
from contextcore_install.core.events import second
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.state import COMPLETED, FAILED, IN_PROGRESS, RunState, State, StepState
from contextcore_install.telemetry.exporters.backends import Backend, Series, probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import FailureKind, StoreError, Timeouts
from contextcore_install.telemetry.folds.metrics import PREFIX, STATUS_VALUES

DAY_MS = 86_400_000
_LOOK_BACK_DAYS, _LOOK_BACK_LEAST_DAYS = 400, 30  # beyond a year's retention; for a store that refuses such a range

REASON_LOST = {"code": "reason-lost", "message": "it failed; why was in the journal, which is gone", "hint": RESUME}
_STATUSES = {value: status for status, value in STATUS_VALUES.items()}
_Points = list[tuple[int, float]]
_PointsByName = defaultdict[tuple[str, str], _Points]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state made from a store's samples, and the time of the newest (ms since 1970)."""

    state: State
    store: str
    newest_ms: int


def rebuild(base_url: str, cluster: str, since_ms: int, limit_s: float) -> Rebuilt | None:
    """Return the state that samples after `since_ms` tell, if any; raises StoreError if not within `limit_s` s."""
    end = time.monotonic() + limit_s
    client = Client(base_url, lambda: Timeouts(answer_s=limit_s).within(end - time.monotonic()))
    try:
        backend = probe(client)
        backend.show_recent()
        series = _read(backend, cluster, since_ms)
        state = state_from_series(cluster, series)
    except (KeyError, ValueError, OverflowError) as error:
        said = f"{base_url} shows samples of ours that make no sense: {error}"
        raise StoreError(FailureKind.REFUSES, said) from error
    finally:
        client.close()
    newest = max((at for values in series.values() for at in values), default=0)
    return Rebuilt(state, str(backend), newest) if state else None


def _read(backend: Backend, cluster: str, since_ms: int) -> Series:
    wanted, now_ms = {"cluster": cluster}, int(time.time() * 1000) + 60_000
    try:
        return backend.raw_samples(wanted, max(since_ms, now_ms - _LOOK_BACK_DAYS * DAY_MS), now_ms)
    except StoreError as error:
        if error.kind is not FailureKind.REFUSES:
            raise
    return backend.raw_samples(wanted, max(since_ms, now_ms - _LOOK_BACK_LEAST_DAYS * DAY_MS), now_ms)


def state_from_series(cluster: str, series: Series) -> State | None:
    """Return the state that samples tell; None if they tell of no run."""
    points = _points_of(series)
    started = points["started_timestamp", ""]
    if not started:
        return None
    state = State(cluster)
    steps = [step for name, step in points if name == "step_status"]
    began_ms = _restarted_ms([points["step_attempts_total", step] for step in steps])
    state.started_at = _moment(next((value for at, value in started if at >= began_ms), started[-1][1]))
    state.installation_id = uuid5(NAMESPACE_URL, f"{cluster} {state.started_at}").hex
    for step_id in dict.fromkeys([*STEP_IDS, *steps]):
        state.steps[step_id] = _step(points, step_id)
    verified = points["completeness_percent", ""]
    state.verified_at = second(verified[-1][0] * 1000) if verified else ""
    infos = [(max(values), dict(labels)) for (name, labels), values in series.items() if name == f"{PREFIX}info"]
    info = max(infos, key=lambda item: item[0])[1] if infos else {}
    state.provider = info.get("provider", "")
    state.run = _run(info.get("run_id", ""), started[-1][1], points["finished_timestamp", ""], state)
    state.updated_at = max([state.run.started_at, state.run.finished_at, *(s.updated_at for s in state.steps.values())])
    return state


def _points_of(series: Series) -> _PointsByName:
    """Return (time in ms, value), oldest first, by a metric's name and its step, if it has one."""
    found: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for (name, labels), values in series.items():
        found[name.removeprefix(PREFIX), dict(labels).get("step", "")].update(values)
    return defaultdict(list, {key: sorted(values.items()) for key, values in found.items()})


def _restarted_ms(attempts: Sequence[_Points]) -> int:
    """Return when a new installation was begun last: all attempts are 0 then, and were not before; 0 for never.

    Attempts of some steps also go down when a backup, or what is left of a journal, is gone on with.
    """
    falls = {at for points in attempts for (_, before), (at, after) in pairwise(points) if after == 0 < before}
    return max((at for at in falls if all(_value_at(points, at) == 0 for points in attempts)), default=0)


def _step(points: _PointsByName, step_id: str) -> StepState:
    names = ("step_status", "step_attempts_total", "step_duration_seconds")
    statuses, attempts, durations = (points[name, step_id] for name in names)
    step = StepState(status=_STATUSES.get(statuses[-1][1], "pending") if statuses else "pending")
    step.attempts = int(attempts[-1][1]) if attempts else 0
    changed_ms = _since_ms(statuses) if len({value for _, value in statuses}) > 1 else 0
    begun_ms = _since_ms(attempts) if step.attempts else 0
    if begun_ms:
        step.started_at = second(begun_ms * 1000)
    if step.status == COMPLETED:
        changed_ms = _since_ms(statuses)
        step.completed_at = second(changed_ms * 1000)
    if changed_ms or begun_ms:
        step.updated_at = second(max(changed_ms, begun_ms) * 1000)
    if durations and step.status != IN_PROGRESS:
        step.duration_seconds = durations[-1][1]
    if step.status == FAILED:
        step.error = dict(REASON_LOST)
    return step


def _since_ms(points: _Points) -> int:
    """Return since when a series has had its last value."""
    same = takewhile(lambda point: point[1] == points[-1][1], reversed(points))
    return min(at for at, _ in same)


def _value_at(points: _Points, at_ms: int) -> float:
    """Return a series' value at a time; 0 before the first."""
    return next((value for at, value in reversed(points) if at <= at_ms), 0.0)


def _run(run_id: str, started: float, finished: _Points, state: State) -> RunState:
    run = RunState(run_id, started_at=_moment(started))
    if finished and finished[-1][1] >= started:
        run.finished_at = _moment(finished[-1][1])
        # How a run that came to its end must have ended, going by what it left.
        run.outcome = "failed" if state.failed else "succeeded" if state.progress == 1.0 else "interrupted"
    return run


def _moment(seconds: float) -> str:
    return second(round(seconds * 1000) * 1000)
