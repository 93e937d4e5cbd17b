"""What was put aside of installations that were given up on purpose: what is older is not brought back."""

from __future__ import annotations

import calendar
import errno
import os
import re
import shutil
import time
from pathlib import Path

from contextcore_install.storage.files import ASIDE, unusable, write_atomically
from contextcore_install.storage.home import ClusterLayout, Home, make_private
from contextcore_install.storage.journal.segments import past_segments
from contextcore_install.storage.step_logs import KEPT_RUNS
from contextcore_install.system.files import UNFINISHED

_REPLACED = "replaced-by-a-backup"
"""The file in an archive whose installation went on with a backup's records."""


def given_up_ms(home: Home, cluster: str) -> int:
    """Return when the records of a cluster were put aside last (ms since 1970; 0 for never).

    What was before was given up on purpose, by `--reset` or `delete`: it is not brought back.
    """
    # A name has whole seconds, so the one that it names may have been reset after.
    given_up = (item for item in _archives(home, cluster) if not (item[2] / _REPLACED).exists())
    return 1000 * max((_seconds(stamp) + 1 for stamp, _, _ in given_up), default=0)


def records_of(layout: ClusterLayout) -> tuple[Path, ...]:
    """Return the files and folders that are an installation's records, in the order in which they are put aside."""
    # The state goes last: until it has gone, a repeated reset finds the rest. The journal goes from its end, so that
    # what is left of it is a journal.
    aside = (part.path for part in past_segments(layout.journal) if not part.is_compressed)
    return (layout.logs, layout.cursors, layout.lease_term, layout.journal, *aside, layout.past, layout.state)


def archive_records(home: Home, cluster: str, *more: Path, replaced: bool = False) -> str:
    """Move the records, what of them was set aside, and `more` to the archive; return the folder, under the lock.

    With `replaced` the installation goes on with a backup's records: it is not given up. Raises InstallError.
    """
    layout = home.cluster(cluster)
    make_private(home.archive)
    target = home.archive / f"{cluster}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    count = 1
    while target.exists():
        count += 1
        target = target.with_name(f"{target.name.split('.')[0]}.{count}")
    make_private(target)
    if replaced:
        write_atomically(target / _REPLACED, b"")
    aside = sorted(layout.folder.glob(f"*{ASIDE}*"))
    sources = [(source, source.name) for source in (*more, *aside, *records_of(layout))]
    if not home.plan_path.is_symlink():
        sources.insert(0, (home.plan_path, f"plan-path-{home.plan_path.name}"))
    for source, name in sources:
        try:
            source.rename(target / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unusable(source, error) from error
    if home.linked_cluster() == cluster:
        home.plan_path.unlink(missing_ok=True)
    prune_archives(home, cluster)
    return str(target)


def require_archivable(home: Home, cluster: str) -> None:
    """Raise InstallError where a cluster's records could not be put aside and its folder removed; nothing is changed.

    For whoever takes away first what the records tell of. The caller holds the lock.
    """
    layout = home.cluster(cluster)
    make_private(home.archive)
    trial, moved = (folder / f".trial{UNFINISHED}" for folder in (layout.folder, home.archive))
    try:
        trial.write_bytes(b"")
        trial.replace(moved)
        moved.unlink()
    except OSError as error:
        raise unusable(layout.folder, error) from error
    if not os.access(home.clusters, os.W_OK):
        raise unusable(home.clusters, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def prune_archives(home: Home, cluster: str, keep: int = KEPT_RUNS) -> None:
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
