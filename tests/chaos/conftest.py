"""Counts what was tried; with CHAOS_REPORT, the figures are written into that page once all of it was survived."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Tried = Callable[[str, int], None]

_counts: dict[str, int] = {}
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


@pytest.fixture
def tried() -> Tried:
    """Return what takes note of how often something was tried, and survived."""

    def note(what: str, times: int) -> None:
        _counts[what] = _counts.get(what, 0) + times

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the figures; a run that lost anything writes none."""
    report = os.environ.get("CHAOS_REPORT")
    if not report or exitstatus or not _counts:
        return
    page = Path(report)
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    rows = [f"| {what} | {times:,} | {times:,} | 0 |\n" for what, times in _counts.items()]
    table = ["| what happens to a run | tried | survived | lost |\n", "|---|---|---|---|\n", *rows]
    page.write_text(before + _BEGIN + "".join(table) + _END + rest.partition(_END)[2], encoding="utf-8")
