"""Metrics (docs/reference/metrics.md) as a fold of the events: the same events always give the same samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.state import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    MEASURING_STEP,
    PENDING,
    State,
    state_from_document,
)
from contextcore_install.telemetry.folds.fold import Fold, trace_id

PREFIX = "contextcore_install_"
STATUS_VALUES = {PENDING: 0.0, IN_PROGRESS: 1.0, COMPLETED: 2.0, FAILED: 3.0}

_LARGEST = 1e300

Labels = tuple[tuple[str, str], ...]
SeriesKey = tuple[str, Labels]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series. `labels` are sorted by name; `at_ms` is UTC in milliseconds since 1970."""

    name: str
    labels: Labels
    value: float
    at_ms: int

    @property
    def series(self) -> SeriesKey:
        return self.name, self.labels


class MetricsFold(Fold[Sample]):
    """Makes samples of events taken in order, from the beginning of a journal or from a snapshot.

    Stores keep milliseconds, events differ by microseconds: if two samples of a series fall into one millisecond, the
    later one is dated into the next, so that no change is lost. A snapshot carries what a resend needs to do the same.
    """

    version = 4

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self._state = State(cluster)
        self._last_ms: dict[SeriesKey, int] = {}
        self._at_ms = 0
        self._run_id, self._version, self._provider, self._info_sent = "", "", "", False
        self._remedies: dict[str, int] = {}
        self._found_unmet = self._applied_since = False  # by the latest verification, and after it

    def take(self, event: Event) -> list[Sample]:
        self._at_ms = event.at_us // 1000
        step = self._state.steps.get(event.step)
        before = (step.status if step else "", self._state.progress)
        self._state.apply(event)
        made = [*self._samples(event, *before), *self._info(event)]
        return [self._dated(sample) for sample in made]

    def snapshot(self) -> dict[str, Any]:
        """Of the last timestamps, keep only those that can still push a later sample on."""
        return {
            "version": self.version,
            "state": self._state.as_document(),
            "at_ms": self._at_ms,
            "ahead": [[name, dict(labels), at] for (name, labels), at in self._last_ms.items() if at >= self._at_ms],
            "run": [self._run_id, self._version, self._provider, self._info_sent],
            "remedies": dict(self._remedies),
            "found_unmet": self._found_unmet,
            "applied_since": self._applied_since,
        }

    def _continue_from(self, snapshot: Mapping[str, Any]) -> None:
        self._state = state_from_document(snapshot["state"])
        self._at_ms = int(snapshot["at_ms"])
        self._last_ms = {(name, _sorted(labels)): int(at) for name, labels, at in snapshot["ahead"]}
        self._run_id, self._version, self._provider, self._info_sent = snapshot["run"]
        self._remedies = {str(outcome): int(count) for outcome, count in snapshot["remedies"].items()}
        self._found_unmet = snapshot.get("found_unmet") is True
        self._applied_since = _is_outdated(snapshot)

    def _dated(self, sample: Sample) -> Sample:
        at_ms = max(sample.at_ms, self._last_ms.get(sample.series, 0) + 1)
        self._last_ms[sample.series] = at_ms
        return sample if at_ms == sample.at_ms else replace(sample, at_ms=at_ms)

    def _sample(self, name: str, value: float, **labels: str) -> Sample:
        # Six decimals at most: VictoriaMetrics keeps decimal numbers, and only short ones come back as they went.
        value = round(float(value), 6)
        return Sample(PREFIX + name, _sorted({"cluster": self._cluster, **labels}), value, self._at_ms)

    def _time(self, name: str, **labels: str) -> Sample:
        """Return the time of the event as a sample, in seconds."""
        return self._sample(name, self._at_ms / 1000, **labels)

    def _samples(self, event: Event, status: str, progress: float) -> Iterator[Sample]:
        match event.kind:
            case Kind.RUN_STARTED:
                self._run_id, self._info_sent = event.run_id, False
                self._version, self._provider = (str(event.data.get(name, "")) for name in ("version", "provider"))
                yield self._time("started_timestamp")
                yield self._time("heartbeat_timestamp")
                yield from self._whole_state()
            case Kind.STATE_IMPORTED:
                self._applied_since = _is_outdated({"state": self._state.as_document()})
                yield from self._whole_state()
            case Kind.HEARTBEAT:
                yield self._time("heartbeat_timestamp")
            case Kind.RUN_FINISHED:
                yield self._time("heartbeat_timestamp")
                yield self._time("finished_timestamp")
            case Kind.VERIFIED:
                yield from self._verified(event)
            case Kind.WATCH_LOOKED | Kind.WATCH_REMEDIED | Kind.WATCH_GAVE_UP:
                yield from self._watch(event)
            case _ if event.step:
                yield from self._step(event, status, progress)

    def _whole_state(self) -> Iterator[Sample]:
        for step_id, step in self._state.planned.items():
            yield self._sample("step_status", STATUS_VALUES[step.status], step=step_id)
            yield self._sample("step_attempts_total", step.attempts, step=step_id)
        yield self._sample("progress_ratio", self._state.progress)

    def _step(self, event: Event, status: str, progress: float) -> Iterator[Sample]:
        step = self._state.steps.get(event.step)
        if step is None:
            return
        changed = step.status != status
        if changed:
            yield self._sample("step_status", STATUS_VALUES[step.status], step=event.step)
        if event.kind is Kind.STEP_STARTED:
            self._applied_since |= event.step != MEASURING_STEP
            yield self._sample("step_attempts_total", step.attempts, step=event.step)
            yield self._time("step_started_timestamp", step=event.step)
        ended = event.kind is Kind.STEP_FAILED or (event.kind is Kind.STEP_COMPLETED and changed)
        if ended and event.duration_s is not None:
            yield self._sample("step_duration_seconds", event.duration_s, step=event.step)
        if self._state.progress != progress:
            yield self._sample("progress_ratio", self._state.progress)

    def _watch(self, event: Event) -> Iterator[Sample]:
        yield self._time("watch_timestamp")
        problems = event.data.get("problems")
        if event.kind is Kind.WATCH_REMEDIED:
            outcome = str(event.data.get("outcome", ""))
            self._remedies[outcome] = self._remedies.get(outcome, 0) + 1
            yield self._sample("watch_remedies_total", self._remedies[outcome], outcome=outcome)
        elif isinstance(problems, list):
            yield self._sample("watch_problems", len(problems))
        if event.kind is Kind.WATCH_GAVE_UP:
            yield self._time("watch_gave_up_timestamp")

    def _verified(self, event: Event) -> Iterator[Sample]:
        measured = dict(_measured(event.data.get("requirements")))
        if not measured:
            return
        # What a run measures is the result of its work; what `verify` alone found may have been repaired since.
        works = all(ratio == 1.0 for ratio, critical in measured.values() if critical)
        self._found_unmet, self._applied_since = event.stands_alone and not works, False
        by_category: dict[str, list[float]] = {}
        for (name, category), (ratio, critical) in measured.items():
            labels = {"requirement": name, "category": category, "critical": "true" if critical else ""}
            by_category.setdefault(category, []).append(ratio)
            yield self._sample("requirement_status_ratio", ratio, **labels)
            yield self._time("requirement_measured_timestamp", **labels)
        for category, ratios in by_category.items():
            yield self._sample("category_completeness_percent", _percent(ratios), category=category)
        yield self._sample("completeness_percent", _percent([ratio for ratio, _ in measured.values()]))
        yield self._time("verification_timestamp")
        if works:
            yield self._time("verified_timestamp")

    def _info(self, event: Event) -> Iterator[Sample]:
        """Describe each run once: as soon as its provider is known, which a later event may name, or at its end."""
        if self._info_sent or not self._run_id:
            return
        provider = self._provider or self._state.provider
        if provider or event.kind is Kind.RUN_FINISHED:
            self._info_sent = True
            known = {"run_id": self._run_id, "provider": provider, "version": self._version}
            yield self._sample("info", 1.0, trace_id=trace_id(self._run_id), **known)


def is_measured(snapshot: Mapping[str, Any]) -> bool:
    """Tell whether a fold's snapshot holds a measurement of the installation as it is now.

    It does not if a step was applied since, or if `verify` found something critical unmet: that may have been repaired.
    """
    verified_at = snapshot["state"].get("verified_at")
    return bool(verified_at) and snapshot.get("found_unmet") is not True and not _is_outdated(snapshot)


def _is_outdated(snapshot: Mapping[str, Any]) -> bool:
    """Tell whether a step was applied after the latest verification, by times if the snapshot has nothing else."""
    state = snapshot["state"]
    applied = [
        str(step.get("started_at", "")) for name, step in state.get("steps", {}).items() if name != MEASURING_STEP
    ]
    # Times are whole seconds, in which a repair may follow a verification.
    by_times = max(applied, default="") > str(state.get("verified_at") or "")
    return bool(snapshot.get("applied_since", by_times))


def _sorted(labels: Mapping[str, str]) -> Labels:
    """Return labels in the order of their names; an empty value means the label is not there."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _percent(ratios: Sequence[float]) -> float:
    return 100.0 * math.fsum(ratios) / len(ratios)


def _measured(items: object) -> Iterator[tuple[tuple[str, str], tuple[float, bool]]]:
    """Yield (name, category) and (ratio from 0 to 1, whether critical) of each requirement that says as much."""
    for item in items if isinstance(items, list | tuple) else ():
        if not isinstance(item, Mapping):
            continue
        name, category, ratio = (item.get(key) for key in ("requirement", "category", "ratio"))
        numeric = isinstance(ratio, int | float) and not isinstance(ratio, bool) and abs(ratio) < _LARGEST
        if numeric and isinstance(name, str) and isinstance(category, str):
            yield (name, category), (min(1.0, max(0.0, float(ratio or 0))), item.get("critical") is True)
