"""The folders and files under CONTEXTCORE_HOME, and that they are ours alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.errors import InstallError, quoted, state_error
from contextcore_install.core.text import is_cluster_name
from contextcore_install.storage.files import entries_of, unusable, using
from contextcore_install.storage.journal.segments import segments_folder

STATE_FILE = "install-state.json"
JOURNAL_FILE = "journal.jsonl"
_TEMPORARY_LINK = (f".{STATE_FILE}.", ".link")
"""What the name begins and ends with of a new link, which a crash may leave behind; between them is a process's id."""


class ClusterLayout:
    """Where one cluster's files are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / STATE_FILE  # docs/reference/state.md
        self.journal = folder / JOURNAL_FILE  # the events, one JSON object a line
        self.past = segments_folder(self.journal)  # the compressed part of the journal
        self.lock = folder / "lock"  # held by a run while it lives
        self.cursors = folder / "cursors.json"  # what each telemetry backend has taken
        self.lease_term = folder / "lease-term"  # of the cluster's lease under which this machine wrote last
        self.logs = folder / "logs"  # one folder a run, one file a step
        self.backups = folder / "backups"  # what `backup` wrote without being told where to
        self.restore = folder / "restore"  # a backup that is being put back, until all of it is
        self.bundles = folder / "bundles"  # evidence of diagnoses
        self.offline_bundle = folder / "offline-bundle"  # the path of the one that the tools came from, for hints

    @property
    def exists(self) -> bool:
        """Whether the cluster has a folder; raises InstallError if the system does not tell."""
        with using(self.folder), suppress(FileNotFoundError, NotADirectoryError):
            return stat.S_ISDIR(self.folder.stat().st_mode)
        return False


class Home:
    """CONTEXTCORE_HOME."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.latest_link = folder / STATE_FILE  # a link to the state file of the cluster used last
        self.archive = folder / "archive"  # what `--reset` archived
        self.contact_points = folder / "notify.json"  # secrets of the user, and no cluster's
        self.bin = folder / "bin"  # tools that we installed
        self.clusters = folder / "clusters"  # one folder a cluster
        self.ports_lock = folder / "ports.lock"  # serialises port allocation between installations

    def cluster(self, name: str) -> ClusterLayout:
        return ClusterLayout(self.clusters / name)

    def cluster_names(self) -> list[str]:
        """Return the names of the clusters that have a folder here, no link, sorted; raises InstallError."""
        folders = (entry.name for entry in entries_of(self.clusters) if entry.is_dir(follow_symlinks=False))
        return sorted(filter(is_cluster_name, folders))

    def linked_cluster(self) -> str | None:
        """Return the cluster that the link points to; None if it is no link of our shape."""
        try:
            parts = self.latest_link.readlink().parts
        except OSError:
            return None
        ours = len(parts) == 3 and parts[0] == "clusters" and parts[2] == STATE_FILE and parts[1] not in ("..", ".")
        return parts[1] if ours else None

    def link_to(self, cluster: str) -> None:
        """Point the link to a cluster's state file, as a relative link; raises InstallError."""
        if self.linked_cluster() == cluster:
            return
        temporary = self.folder / str(os.getpid()).join(_TEMPORARY_LINK)
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(Path("clusters") / cluster / STATE_FILE)
            temporary.replace(self.latest_link)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise unusable(self.latest_link, error) from error


def find_home(environ: Mapping[str, str], effective_uid: int) -> Home:
    """Return the program's home folder without touching it; raises InstallError."""
    chosen = environ.get("CONTEXTCORE_HOME")
    if chosen:
        folder = Path(os.path.expanduser(chosen))  # noqa: PTH111 - pathlib raises for an unknown user
        if folder.is_absolute():
            return Home(folder)
        try:
            hint = f"export CONTEXTCORE_HOME={quoted(str(Path(chosen).absolute()))}"
        except OSError:  # the working directory was deleted
            hint = "choose a folder by its whole path with CONTEXTCORE_HOME=FOLDER"
        raise state_error("no-home", f"CONTEXTCORE_HOME is {chosen}, which is not an absolute path", hint)
    user_home = environ.get("HOME", "")
    if not user_home or not Path(user_home).is_absolute():
        raise state_error("no-home", "HOME is not set", "set HOME, or choose a folder with CONTEXTCORE_HOME=FOLDER")
    try:
        owner = Path(user_home).stat().st_uid
    except OSError as error:
        message = f"HOME is {user_home}: {(error.strerror or '').lower()}"
        raise state_error("no-home", message, "choose a folder with CONTEXTCORE_HOME=FOLDER") from None
    if owner != effective_uid and (effective_uid != 0 or owner != 0):
        hint = "run it as yourself, without sudo" if environ.get("SUDO_USER") else "set HOME to your own folder"
        raise state_error("no-home", f"HOME is {user_home}, which belongs to another user", hint)
    return Home(Path(user_home) / ".contextcore")


def make_private(folder: Path) -> None:
    """Make a folder with mode 0700, or see that the one that is there is ours alone; raises InstallError if not."""
    with using(folder), suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        return
    require_private(folder)


def require_private(folder: Path) -> None:
    """Raise InstallError for what is no folder, another user's, or open to others' writing; there may be nothing.

    Whoever can write there could have us run, read or replace what they like.
    """
    with using(folder):
        try:
            facts = folder.lstat()
        except FileNotFoundError:
            return
    if stat.S_ISLNK(facts.st_mode):
        hint = f"replace it by a folder, or set CONTEXTCORE_HOME={quoted(os.path.realpath(folder))}"
        raise _unsafe(folder, "it is a link", hint)
    if not stat.S_ISDIR(facts.st_mode):
        hint = f"move it away: mv {quoted(str(folder))} {quoted(f'{folder}.aside')}"
        raise _unsafe(folder, "it is not a folder", hint)
    if facts.st_uid != os.geteuid():
        raise _unsafe(folder, "it belongs to another user", "set CONTEXTCORE_HOME to a folder of your own")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(folder, "others can write to it", f"close it: chmod 700 {quoted(str(folder))}")


def make_home(home: Home) -> None:
    with using(home.folder.parent):
        home.folder.parent.mkdir(parents=True, exist_ok=True)
    make_private(home.folder)
    make_private(home.clusters)
    require_own(home.folder, is_our_link=_is_latest_link)


def _is_latest_link(name: str) -> bool:
    beginning, end = _TEMPORARY_LINK
    is_new = name.startswith(beginning) and name.endswith(end)
    return name == STATE_FILE or (is_new and name[len(beginning) : -len(end)].isdecimal())


def require_own(folder: Path, is_our_link: Callable[[str], bool] = lambda _: False) -> None:
    """Raise InstallError unless all in a folder is ours, and no link, through which we would write, but our own."""
    with using(folder), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries]
    for path in found:
        try:
            facts = path.lstat()
        except FileNotFoundError:  # another process was writing it
            continue
        if stat.S_ISLNK(facts.st_mode) and not is_our_link(path.name):
            hint = f"remove the link: rm {quoted(str(path))}"
            raise _unsafe(path, "it is a link, which this program did not make", hint)
        if facts.st_uid != os.geteuid():
            hint = f'make it yours: sudo chown -R "$(id -un)" {quoted(str(path))}'
            raise _unsafe(path, "it belongs to another user", hint)


def _unsafe(folder: Path, reason: str, hint: str) -> InstallError:
    return state_error("unsafe-folder", f"{folder} is not used: {reason}", hint)
