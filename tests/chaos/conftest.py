"""Counts what was tried; with CHAOS_REPORT, the figures are written into that page once all of it was survived."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from tables import write_table


class Outcome(StrEnum):
    """How a run may end that a fault befalls: the columns of the fault matrix."""

    UNHARMED = "succeeds all the same"
    REFUSED = "one sentence, exit code 4"
    RESUMABLE = "interrupted, exit code 130"


Tried = Callable[[str, int], None]
Came = Callable[[str, int], None]

_counts: dict[str, int] = {}
_matrix: dict[str, dict[Outcome, int]] = {}
_OUTCOMES = {0: Outcome.UNHARMED, 4: Outcome.REFUSED, 130: Outcome.RESUMABLE}


@pytest.fixture
def tried() -> Tried:
    """Return what takes note of how often something was tried, and survived."""

    def note(what: str, times: int) -> None:
        _counts[what] = _counts.get(what, 0) + times

    return note


@pytest.fixture
def came_of() -> Came:
    """Return what takes note of the exit code that a run with a fault ended with, once all else held."""

    def note(fault: str, exit_code: int) -> None:
        row = _matrix.setdefault(fault, dict.fromkeys(Outcome, 0))
        row[_OUTCOMES[exit_code]] += 1

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the figures of what was tried; a run that lost anything writes none."""
    report = os.environ.get("CHAOS_REPORT")
    if not report or exitstatus:
        return
    if _counts:
        rows = [[what, f"{times:,}", f"{times:,}", "0"] for what, times in _counts.items()]
        write_table(Path(report), "figures", ["what happens to a run", "tried", "survived", "lost"], rows)
    if _matrix:
        rows = [[fault, *(f"{row[outcome]:,}" for outcome in Outcome), "0"] for fault, row in _matrix.items()]
        write_table(Path(report), "faults", ["fault", *Outcome, "traceback, hang, torn or lost"], rows)
