"""A summary of a long journal: a fold of all its events that can be kept, and carried on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.core.events import Event, Kind, second
from contextcore_install.engine.state import State, StateFormatError, state_from_document

VERSION = 1  # a summary of another version is made from the events again
RECENT = 5  # of a step's durations are kept

_NEW_ROW = {"duration_seconds": None, "outcome": None, "failed_step": None}
_ROW = ("run_id", "mode", "started_at", "duration_seconds", "outcome", "failed_step", "applied")


def working_time_s(event: Event) -> float | None:
    """Return how long a step's real work took, if the event tells that."""
    done = event.kind is Kind.STEP_COMPLETED and not event.data.get("already")
    return event.duration_s if done else None


class JournalSummary:
    """Takes events in, in order, with their positions in the journal.

    `state` is the installation's. `runs` has a row for each run, the latest last: a JSON object of `run_id`, `mode`,
    `started_at` (RFC 3339), `duration_seconds`, `outcome` (None for one that goes on or was killed), `failed_step`, and
    the steps that were `applied`. `places` says where in the journal each begins that is more than one event, `took`
    has the latest durations of each step's real work, in seconds, `requirements` the result of the latest verification.
    """

    def __init__(self, cluster: str) -> None:
        self.state = State(cluster)
        self.runs: list[dict[str, Any]] = []
        self._rows: dict[str, dict[str, Any]] = {}
        self.places: dict[str, int] = {}
        self.took: dict[str, list[float]] = {}
        self.requirements: list[Any] = []

    def take(self, position: int, event: Event) -> None:
        self.state.apply(event)
        self._take_run(event)
        if event.kind is Kind.RUN_STARTED:
            self.places.setdefault(event.run_id, position)
        elif event.kind is Kind.VERIFIED:
            found = event.data.get("requirements")
            self.requirements = found if isinstance(found, list) else []
        seconds = working_time_s(event)
        if seconds is not None:
            self.took[event.step] = [*self.took.get(event.step, [])[1 - RECENT :], seconds]

    def _take_run(self, event: Event) -> None:
        if event.kind is Kind.RUN_STARTED or event.stands_alone:
            took_us = round((event.duration_s or 0.0) * 1_000_000) if event.stands_alone else 0
            row = {"run_id": event.run_id, "mode": event.data.get("mode"), "started_at": second(event.at_us - took_us)}
            self._rows[event.run_id] = row = {**row, **_NEW_ROW, "applied": []}
            self.runs.append(row)
        run = self._rows.get(event.run_id)
        if run is None:
            return
        if event.kind is Kind.STEP_STARTED and event.step not in run["applied"]:
            run["applied"].append(event.step)
        elif event.kind is Kind.STEP_FAILED:
            run["failed_step"] = event.step
        elif event.kind is Kind.RUN_FINISHED or event.stands_alone:
            run["outcome"] = event.data.get("outcome")
            run["duration_seconds"] = event.duration_s

    def as_document(self, first_row: int = 0) -> dict[str, Any]:
        """Return all as one JSON object, with the runs from the row `first_row` on."""
        rows = self.runs[first_row:]
        return {
            "version": VERSION,
            "state": self.state.as_document(),
            "runs": rows,
            "places": {row["run_id"]: self.places[row["run_id"]] for row in rows if row["run_id"] in self.places},
            "took": self.took,
            "requirements": self.requirements,
        }

    def carry_on(self, document: Mapping[str, Any]) -> None:
        """Become what `as_document` returned of a summary that went on from this one; raises ValueError."""
        try:
            if document["version"] != VERSION:
                raise ValueError("of another version")
            state = state_from_document(document["state"])
            rows = [{name: row[name] for name in _ROW} for row in document["runs"]]
            places = {str(run_id): int(place) for run_id, place in document["places"].items()}
            took = {str(step): [float(item) for item in items] for step, items in document["took"].items()}
            requirements = list(document["requirements"])
        except (KeyError, TypeError, AttributeError, OverflowError, StateFormatError) as error:
            raise ValueError(f"it is no summary of a journal: {error}") from None
        self.state, self.took, self.requirements = state, took, requirements
        self.places.update(places)
        self.runs.extend(rows)
