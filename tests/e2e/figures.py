"""How long repairs took: noted by the tests, and written into a page where one is named (E2E_REPAIR_REPORT)."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kit.tables import write_table

ANEW = "installed anew"
CHECKED = "checked, with nothing wrong"

_taken: dict[str, list[float]] = {}


def note(what: str, seconds: float) -> None:
    """Keep how long something took."""
    _taken.setdefault(what, []).append(seconds)


def write(page: Path, wanted: Collection[str], taken: Mapping[str, Sequence[float]] = _taken) -> None:
    """Write each of the two tables for which all that it holds was measured."""
    if checks := taken.get(CHECKED):
        head = ["checks", "median, seconds", "false findings"]
        write_table(page, "checks", head, [[f"{len(checks)}", f"{statistics.median(checks):.2f}", "0"]])
    if not {ANEW, *wanted} <= taken.keys():
        return
    anew = statistics.median(taken[ANEW])
    medians = {what: statistics.median(taken[what]) for what in taken.keys() - {CHECKED}}
    rows = [
        [what, f"{seconds:.0f}", f"{seconds / anew:.2f}"]
        for what, seconds in sorted(medians.items(), key=lambda item: item[1])
    ]
    write_table(page, "figures", ["broken", "seconds", "of an installation"], rows)
