"""The archive: records of installations that were given up on purpose. Nothing older than they is brought back."""

from __future__ import annotations

import calendar
import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from contextcore_install.storage.files import QUARANTINED, prune, stamped, unusable, using, write_atomically
from contextcore_install.storage.home import ClusterLayout, Home, make_private
from contextcore_install.storage.journal.segments import past_segments
from contextcore_install.storage.step_logs import KEPT_RUNS
from contextcore_install.system.files import UNFINISHED

_REPLACED = "replaced-by-a-backup"  # a file in the archive of an installation that went on with a backup's records


def given_up_ms(home: Home, cluster: str) -> int:
    """Return when a cluster's records were last archived by `--reset` or `delete` (ms since 1970; 0 for never)."""
    # A name has whole seconds, so the one that it names may have been reset after.
    given_up = (item for item in _archives(home, cluster) if not (item[2] / _REPLACED).exists())
    return 1000 * max((_seconds(stamp) + 1 for stamp, _, _ in given_up), default=0)


def records_of(layout: ClusterLayout) -> tuple[Path, ...]:
    """Return the files and folders that are an installation's records, in the order in which they are archived."""
    # The state goes last: until it has gone, a repeated reset finds the rest. The journal goes from its end, so that
    # what is left of it is a journal.
    rotated = (segment.path for segment in past_segments(layout.journal) if not segment.is_compressed)
    others = (layout.logs, layout.cursors, layout.lease_term, layout.offline_bundle)
    return (*others, layout.journal, *rotated, layout.past, layout.state)


def archive_records(home: Home, cluster: str, *more: Path, replaced: bool = False) -> str:
    """Move the records, their quarantined files, and `more` to the archive; return the folder. Needs the lock.

    With `replaced` the installation goes on with a backup's records: it is not given up. Raises InstallError.
    """
    layout = home.cluster(cluster)
    make_private(home.archive)
    target = stamped(home.archive / f"{cluster}-", ".")
    make_private(target)
    if replaced:
        write_atomically(target / _REPLACED, b"")
    quarantined = sorted(layout.folder.glob(f"*{QUARANTINED}*"))
    sources = [(source, source.name) for source in (*more, *quarantined, *records_of(layout))]
    if not home.latest_link.is_symlink():
        sources.insert(0, (home.latest_link, f"plan-path-{home.latest_link.name}"))
    for source, name in sources:
        with using(source), suppress(FileNotFoundError):
            source.rename(target / name)
    if home.linked_cluster() == cluster:
        home.latest_link.unlink(missing_ok=True)
    prune_archives(home, cluster)
    return str(target)


def require_archivable(home: Home, cluster: str) -> None:
    """Raise InstallError if a cluster's records could not be archived and its folder removed; nothing is changed.

    For what is removed before its records are. The caller holds the lock.
    """
    layout = home.cluster(cluster)
    make_private(home.archive)
    trial, moved = (folder / f".trial{UNFINISHED}" for folder in (layout.folder, home.archive))
    with using(layout.folder):
        trial.write_bytes(b"")
        trial.replace(moved)
        moved.unlink()
    if not os.access(home.clusters, os.W_OK):
        raise unusable(home.clusters, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def prune_archives(home: Home, cluster: str, keep: int = KEPT_RUNS) -> None:
    """Remove the logs in all but the latest archives of a cluster; the history in them is never removed."""
    prune((ClusterLayout(folder).logs for _, _, folder in sorted(_archives(home, cluster))), keep)


def _archives(home: Home, cluster: str) -> list[tuple[str, int, Path]]:
    """Return the stamps, the numbers within a second, and the folders of a cluster's archives."""
    pattern = re.compile(rf"{re.escape(cluster)}-(\d{{8}}T\d{{6}}Z)(?:\.(\d{{1,9}}))?")
    try:
        folders = list(home.archive.iterdir())
    except OSError:
        return []
    matches = [(pattern.fullmatch(folder.name), folder) for folder in folders]
    return [(match[1], int(match[2] or 1), folder) for match, folder in matches if match]


def _seconds(stamp: str) -> int:
    """Return a folder's stamp as seconds since 1970; 0 if it is no time, as others named the folder."""
    try:
        return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0
