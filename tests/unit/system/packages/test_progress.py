"""The one line that several downloads have."""

from __future__ import annotations

import re

from contextcore_install.system.packages.progress import MIB, Progress
from kit.stores import wait_until


def test_all_downloads_are_counted_in_one_line_with_speed_and_the_time_that_is_left() -> None:
    progress = Progress()
    progress.begin("loki", 0, 20 * MIB)
    progress.begin("tempo", 30 * MIB, 50 * MIB)  # most of it came before
    assert progress.add("loki", 5 * MIB) == "downloading loki, tempo: 35 of 70 MiB"
    assert progress.add("tempo", 1) == "", "not each piece is shown"
    line = next_line(progress)
    assert re.fullmatch(r"downloading loki, tempo: 35 of 70 MiB, \d\.\d MiB/s, \d+ min left", line), line
    progress.add("tempo", 20 * MIB - 1)
    assert next_line(progress).startswith("downloading loki: 55 of 70 MiB")


def next_line(progress: Progress) -> str:
    """Return the next line that is due; a byte a try arrives meanwhile."""
    lines = [""]

    def is_due() -> bool:
        lines.append(progress.add("loki", 1))
        return bool(lines[-1])

    wait_until(is_due)
    return lines[-1]


def test_without_a_length_there_is_no_total() -> None:
    progress = Progress()
    progress.begin("loki", 0, 20 * MIB)
    progress.begin("mimir", 0, 0)
    assert progress.add("mimir", 3 * MIB) == "downloading loki, mimir: 3 MiB"
