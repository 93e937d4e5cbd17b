"""Counts what was tried; with CHAOS_REPORT, the figures are written into that page once all of it was survived."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import cast

import pytest

from kit.tables import write_table


class Outcome(StrEnum):
    """How a run may end that a fault befalls: the columns of the fault matrix."""

    UNHARMED = "succeeds all the same"
    REFUSED = "one sentence, exit code 4"
    RESUMABLE = "interrupted, exit code 130"


TRIED, CAME = "tried", "came of"
"""What a test notes, as properties that reach the process which writes the report."""

Tried = Callable[[str, int], None]
Came = Callable[[str, int], None]

_counts: dict[str, int] = {}
_matrix: dict[str, dict[Outcome, int]] = {}
_OUTCOMES = {0: Outcome.UNHARMED, 4: Outcome.REFUSED, 130: Outcome.RESUMABLE}


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    """Return what takes note of how often something was tried, and survived."""
    return lambda what, times: record_property(TRIED, (what, times))


@pytest.fixture
def came_of(record_property: Callable[[str, object], None]) -> Came:
    """Return what takes note of the exit code that a run with a fault ended with, once all else held."""
    return lambda fault, exit_code: record_property(CAME, (fault, exit_code))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what a test has noted, in whichever process it ran."""
    if report.when != "call" or not report.passed:
        return
    for name, noted in report.user_properties:
        if name in (TRIED, CAME):
            what, value = cast(tuple[str, int], noted)
            if name == TRIED:
                _counts[what] = _counts.get(what, 0) + value
            else:
                row = _matrix.setdefault(what, dict.fromkeys(Outcome, 0))
                row[_OUTCOMES[value]] += 1


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the figures of what was tried; a run that lost anything writes none."""
    report = os.environ.get("CHAOS_REPORT")
    if not report or exitstatus or hasattr(session.config, "workerinput"):
        return
    if _counts:
        rows = [[what, f"{times:,}", f"{times:,}", "0"] for what, times in sorted(_counts.items())]
        write_table(Path(report), "figures", ["what happens to a run", "tried", "survived", "lost"], rows)
    if _matrix:
        rows = [[fault, *(f"{row[outcome]:,}" for outcome in Outcome), "0"] for fault, row in sorted(_matrix.items())]
        write_table(Path(report), "faults", ["fault", *Outcome, "traceback, hang, torn or lost"], rows)
