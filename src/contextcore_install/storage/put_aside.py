"""When an installation was given up on purpose: what is older is not brought back."""

from __future__ import annotations

import calendar
import re
import time

from contextcore_install.storage.layout import Home


def put_aside_ms(home: Home, cluster: str) -> int:
    """Return when the records of a cluster were put aside last (ms since 1970; 0 for never).

    What was before was given up on purpose, by `--reset` or `delete`: it is not brought back.
    """
    pattern = re.compile(rf"{re.escape(cluster)}-(\d{{8}}T\d{{6}}Z)(\.\d+)?")
    try:
        names = [entry.name for entry in home.archive.iterdir()]
    except OSError:
        names = []
    found = [match[1] for name in names if (match := pattern.fullmatch(name))]
    # A name has whole seconds, so the one that it names may have been reset after.
    return 1000 * max((_seconds(stamp) + 1 for stamp in found), default=0)


def _seconds(stamp: str) -> int:
    """Return a folder's stamp as seconds since 1970; 0 for one that names no time, which others gave it."""
    try:
        return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0
