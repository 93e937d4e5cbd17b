"""The folders and files under CONTEXTCORE_HOME, and that they are ours alone."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.storage.files import unusable
from contextcore_install.storage.journal.segments import segments_folder

STATE_FILE = "install-state.json"
JOURNAL_FILE = "journal.jsonl"
_OUR_LINK = re.compile(rf"{re.escape(STATE_FILE)}|\.{re.escape(STATE_FILE)}\.\d+\.link")
"""The plan's path, and what it is made from, which a crash may leave behind."""


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """Where one cluster's files are."""

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the cluster has a folder; raises InstallError where the system does not tell."""
        try:
            return stat.S_ISDIR(self.folder.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unusable(self.folder, error) from error

    @property
    def state(self) -> Path:
        """The state file, in the plan's schema."""
        return self.folder / STATE_FILE

    @property
    def journal(self) -> Path:
        """The events, one JSON object a line."""
        return self.folder / JOURNAL_FILE

    @property
    def past(self) -> Path:
        """What of the journal is compressed."""
        return segments_folder(self.journal)

    @property
    def lock(self) -> Path:
        """What a run holds while it lives."""
        return self.folder / "lock"

    @property
    def cursors(self) -> Path:
        """What each telemetry backend has taken."""
        return self.folder / "cursors.json"

    @property
    def lease_term(self) -> Path:
        """The term of the cluster's lease under which this machine wrote last."""
        return self.folder / "lease-term"

    @property
    def logs(self) -> Path:
        """One folder a run, one file a step."""
        return self.folder / "logs"

    @property
    def backups(self) -> Path:
        """What `backup` wrote without being told where to."""
        return self.folder / "backups"

    @property
    def restore(self) -> Path:
        """A backup that is being put back, until all of it is."""
        return self.folder / "restore"

    @property
    def bundles(self) -> Path:
        """What was collected to find out what is wrong."""
        return self.folder / "bundles"


@dataclass(frozen=True, slots=True)
class Home:
    """CONTEXTCORE_HOME."""

    folder: Path

    @property
    def plan_path(self) -> Path:
        """The plan's path of the state file: a link to the cluster used last."""
        return self.folder / STATE_FILE

    @property
    def archive(self) -> Path:
        """What reset put aside."""
        return self.folder / "archive"

    @property
    def contact_points(self) -> Path:
        """Who is told how runs end: secrets of the user, and no cluster's."""
        return self.folder / "notify.json"

    @property
    def bin(self) -> Path:
        """Tools that we installed."""
        return self.folder / "bin"

    @property
    def clusters(self) -> Path:
        """One folder a cluster."""
        return self.folder / "clusters"

    def cluster(self, name: str) -> ClusterLayout:
        """Return where a cluster's files are."""
        return ClusterLayout(self.clusters / name)

    def cluster_names(self) -> list[str]:
        """Return the names that have a folder of their own, in their order; links are nobody's. Raises InstallError."""
        try:
            with os.scandir(self.clusters) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise unusable(self.clusters, error) from error

    @property
    def choosing(self) -> Path:
        """What is locked while ports are chosen: of two that begin at once, one sees what the other has."""
        return self.folder / "ports.lock"

    def linked_cluster(self) -> str | None:
        """Return the cluster that the plan's path points to; None where it is no link of our shape."""
        try:
            parts = self.plan_path.readlink().parts
        except OSError:
            return None
        ours = len(parts) == 3 and parts[0] == "clusters" and parts[2] == STATE_FILE and parts[1] not in ("..", ".")
        return parts[1] if ours else None

    def link_to(self, cluster: str) -> None:
        """Point the plan's path to a cluster's state file, as a relative link; raises InstallError."""
        target = Path("clusters") / cluster / STATE_FILE
        if self.linked_cluster() == cluster:
            return
        temporary = self.folder / f".{STATE_FILE}.{os.getpid()}.link"  # as in _OUR_LINK
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(self.plan_path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise unusable(self.plan_path, error) from error


def find_home(environ: Mapping[str, str], effective_uid: int) -> Home:
    """Return the program's home folder without touching it; raises InstallError where there is none."""
    chosen = environ.get("CONTEXTCORE_HOME")
    if chosen:
        folder = Path(os.path.expanduser(chosen))  # noqa: PTH111 - pathlib raises for an unknown user
        if not folder.is_absolute():
            raise _relative_home(chosen)
        return Home(folder)
    user_home = environ.get("HOME", "")
    if not user_home or not Path(user_home).is_absolute():
        raise _no_home("HOME is not set", "set HOME, or choose a folder with CONTEXTCORE_HOME=FOLDER")
    try:
        owner = Path(user_home).stat().st_uid
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise _no_home(f"HOME is {user_home}: {reason}", "choose a folder with CONTEXTCORE_HOME=FOLDER") from None
    if owner != effective_uid and (effective_uid != 0 or owner != 0):
        hint = "run it as yourself, without sudo" if environ.get("SUDO_USER") else "set HOME to your own folder"
        raise _no_home(f"HOME is {user_home}, which belongs to another user", hint)
    return Home(Path(user_home) / ".contextcore")


def _relative_home(chosen: str) -> InstallError:
    """Return the error for a home that would be another one in each working directory."""
    try:
        hint = f"export CONTEXTCORE_HOME={quote(str(Path(chosen).absolute()))}"
    except OSError:  # the working directory was deleted
        hint = "choose a folder by its whole path with CONTEXTCORE_HOME=FOLDER"
    return _no_home(f"CONTEXTCORE_HOME is {chosen}, which is not an absolute path", hint)


def _no_home(message: str, hint: str) -> InstallError:
    return InstallError("no-home", message, hint=hint, exit_code=ExitCode.STATE_UNUSABLE)


def make_private(folder: Path) -> None:
    """Make a folder with mode 0700, or see that the one that is there is ours alone.

    Raises InstallError for a link, for what is no folder, another user's, or open to others' writing:
    whoever can write there could have us run, read or replace what they like.
    """
    try:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            facts = folder.lstat()
        else:
            return
    except OSError as error:
        raise unusable(folder, error) from error
    if stat.S_ISLNK(facts.st_mode):
        raise _unsafe(
            folder, "it is a link", f"replace it by a folder, or set CONTEXTCORE_HOME={quote(os.path.realpath(folder))}"
        )
    if not stat.S_ISDIR(facts.st_mode):
        aside = f"mv {quote(str(folder))} {quote(f'{folder}.aside')}"
        raise _unsafe(folder, "it is not a folder", f"move it away: {aside}")
    if facts.st_uid != os.geteuid():
        raise _unsafe(folder, "it belongs to another user", "set CONTEXTCORE_HOME to a folder of your own")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(folder, "others can write to it", f"close it: chmod 700 {quote(str(folder))}")


def make_home(home: Home) -> None:
    """Make the home folder and what leads to it; raises InstallError."""
    try:
        home.folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(home.folder.parent, error) from error
    make_private(home.folder)
    make_private(home.clusters)
    require_own(home.folder, links=_OUR_LINK)


def require_own(folder: Path, links: re.Pattern[str] | None = None) -> None:
    """See that what lies in a folder is ours, and that no link leads out of it but one with a name as in `links`.

    Raises InstallError with what is not, as we would write through it.
    """
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries]
    except OSError as error:
        raise unusable(folder, error) from error
    for path in found:
        try:
            facts = path.lstat()
        except FileNotFoundError:  # another process was writing it
            continue
        if stat.S_ISLNK(facts.st_mode) and not (links and links.fullmatch(path.name)):
            raise _unsafe(
                path, "it is a link, which this program did not make", f"remove the link: rm {quote(str(path))}"
            )
        if facts.st_uid != os.geteuid():
            hint = f'make it yours: sudo chown -R "$(id -un)" {quote(str(path))}'
            raise _unsafe(path, "it belongs to another user", hint)


def _unsafe(folder: Path, reason: str, hint: str) -> InstallError:
    return InstallError(
        "unsafe-folder", f"{folder} is not used: {reason}", hint=hint, exit_code=ExitCode.STATE_UNUSABLE
    )
