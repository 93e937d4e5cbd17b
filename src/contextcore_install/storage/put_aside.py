"""What was put aside of installations that were given up on purpose: what is older is not brought back."""

from __future__ import annotations

import calendar
import re
import shutil
import time
from pathlib import Path

from contextcore_install.storage.layout import ClusterLayout, Home
from contextcore_install.storage.step_logs import KEPT_RUNS


def put_aside_ms(home: Home, cluster: str) -> int:
    """Return when the records of a cluster were put aside last (ms since 1970; 0 for never).

    What was before was given up on purpose, by `--reset` or `delete`: it is not brought back.
    """
    # A name has whole seconds, so the one that it names may have been reset after.
    return 1000 * max((_seconds(stamp) + 1 for stamp, _, _ in _archives(home, cluster)), default=0)


def thin_archives(home: Home, cluster: str, keep: int = KEPT_RUNS) -> None:
    """Remove the logs in all but the latest archives of a cluster; the history in them is for ever."""
    for _, _, folder in sorted(_archives(home, cluster))[:-keep]:
        shutil.rmtree(ClusterLayout(folder).logs, ignore_errors=True)


def _archives(home: Home, cluster: str) -> list[tuple[str, int, Path]]:
    """Return the stamps, the numbers within a second, and the folders of what was put aside of a cluster."""
    pattern = re.compile(rf"{re.escape(cluster)}-(\d{{8}}T\d{{6}}Z)(?:\.(\d{{1,9}}))?")
    try:
        folders = list(home.archive.iterdir())
    except OSError:
        return []
    matches = [(pattern.fullmatch(folder.name), folder) for folder in folders]
    return [(match[1], int(match[2] or 1), folder) for match, folder in matches if match]


def _seconds(stamp: str) -> int:
    """Return a folder's stamp as seconds since 1970; 0 for one that names no time, which others gave it."""
    try:
        return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0
