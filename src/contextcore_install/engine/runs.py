"""The runs that a journal tells of, one row each: a fold of the events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contextcore_install.core.events import Event, Kind, second


class Runs:
    """Takes events in, in order; `rows` holds the runs, the latest last.

    A row is a JSON object: `run_id`, `mode`, `started_at` (RFC 3339), `duration_seconds`, `outcome` (None for one
    that goes on or ended without a word), `failed_step`, and the steps that were `applied`.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        """Take one event in."""
        if event.kind is Kind.RUN_STARTED:
            self._begin(event, second(event.at_us))
        elif event.stands_alone:
            took_us = round((event.duration_s or 0.0) * 1_000_000)
            self._begin(event, second(event.at_us - took_us))
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

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Go on behind rows that were made before; their runs are over."""
        self.rows.extend(rows)

    def _begin(self, event: Event, started_at: str) -> None:
        row: dict[str, Any] = {
            "run_id": event.run_id,
            "mode": event.data.get("mode"),
            "started_at": started_at,
            "duration_seconds": None,
            "outcome": None,
            "failed_step": None,
            "applied": [],
        }
        self._rows[event.run_id] = row
        self.rows.append(row)
