"""Takes a program, or the tree that it needs around it, out of an archive, and puts it to its place.

What an archive says is not trusted; a program is tried out, and appears in its place in one step.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system import process
from contextcore_install.system.files import discard, sync_folder, writing
from contextcore_install.system.lock import held
from contextcore_install.system.packages.releases import Release, releases
from contextcore_install.system.trees import HEADERS_FAIL, lay_down, read_tree

#: Seconds for a new program to say its version.
TRIAL_WITHIN_S = 20.0
TRIAL = ("-version",)
_DAMAGE = (*HEADERS_FAIL, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, NotImplementedError, RuntimeError)
"""What the libraries raise for archives that are damaged, encrypted or compressed in an unknown way."""


@dataclass(frozen=True, slots=True)
class Job:
    """A program that is being installed: into `bin_folder`, prepared in `workdir` on the same file system."""

    ctx: StepContext
    bin_folder: Path
    workdir: Path
    environ: Mapping[str, str]


def downloads_of(bin_folder: Path) -> Path:
    return bin_folder.parent / "downloads"


def lock_of(bin_folder: Path, name: str) -> Path:
    """Return what is locked while a program is being installed."""
    return downloads_of(bin_folder) / f"{name}.lock"


def trees_of(bin_folder: Path) -> Path:
    """Return the folder of the programs that come with files of theirs, one folder each."""
    return bin_folder.parent / "programs"


def take_program(archive: Path, member: str, target: Path) -> None:
    """Write the one member of a zip or .tar.gz that matches a pattern to a new file, and nothing else.

    Raises InstallError `archive`, OSError.
    """
    with _reading(archive):
        if not archive.name.endswith(".tar.gz"):
            with zipfile.ZipFile(archive) as zipped:
                for name in zipped.namelist():
                    if fnmatchcase(name, member):
                        with zipped.open(name) as content:
                            lay_down(content, target, 0o700)
                        return
        else:
            with tarfile.open(archive, "r|gz", errorlevel=1) as tar:
                for item in tar:
                    if item.isreg() and fnmatchcase(item.name.removeprefix("./"), member):
                        lay_down(tar.extractfile(item), target, 0o700)
                        return
    raise InstallError("archive", f"{archive.name} holds no {member}.")


def take_tree(archive: Path, target: Path) -> Path:
    """Lay a .tar.gz out in `target`, which this makes; return the one folder in it, or else `target` itself.

    Raises InstallError `archive` for anything that does not stay in its place, and OSError.
    """
    with _reading(archive), gzip.open(archive) as content:
        read_tree(content, target, links=True)  # type: ignore[arg-type] # it reads and seeks, as a file does
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise InstallError("archive", f"{archive.name} cannot be unpacked: {error}.") from error


def put_program(job: Job, source: Path, name: str) -> Path:
    """Put a copy of a program in place; raises InstallError if it does not run."""
    ready = job.workdir / f"ready-{name}"
    with _placing(job, name):
        shutil.copyfile(source, ready)
        ready.chmod(0o755)
        try_out(job, ready, releases()[name].trial if name in releases() else TRIAL)
        with ready.open("rb") as file:
            os.fsync(file.fileno())
        ready.replace(job.bin_folder / name)
        sync_folder(job.bin_folder)
    return job.bin_folder / name


def put_tree(job: Job, tree: Path, release: Release) -> Path:
    """Put a tree in place whose program is bin/NAME, and a link to that; raises InstallError if it does not run."""
    name, trees, link = release.name, trees_of(job.bin_folder), job.workdir / "link"
    home = trees / f"{name}-{release.version}"
    with _placing(job, name):
        try_out(job, tree / "bin" / name, release.trial)
        os.sync()  # thousands of files, which one by one would take minutes on some disks
        trees.mkdir(mode=0o700, exist_ok=True)
        if os.path.lexists(home):
            home.rename(job.workdir / "before")
        tree.rename(home)
        sync_folder(trees)
        link.symlink_to(Path("..", trees.name, home.name, "bin", name))
        link.replace(job.bin_folder / name)
        sync_folder(job.bin_folder)
    return job.bin_folder / name


def prune(bin_folder: Path) -> None:
    """Remove trees and downloads of programs that are in place, but for what one of them is in or runs from."""
    for left in (*trees_of(bin_folder).glob("*-*"), *downloads_of(bin_folder).glob("*-*")):
        name = left.name.removeprefix(".").partition("-")[0]  # a dot begins what was still being written
        # Not while it is being installed
        with suppress(OSError, InstallError), held(lock_of(bin_folder, name), _give_up):
            program, folder = bin_folder / name, left.resolve()
            if program.exists() and not program.resolve().is_relative_to(folder) and not _is_in_use(folder):
                discard(left)


def _give_up() -> None:
    raise BlockingIOError


def _is_in_use(tree: Path) -> bool:
    import psutil

    for running in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(running.exe()).is_relative_to(tree):
                return True
    return False


def try_out(job: Job, program: Path, trial: Sequence[str]) -> None:
    """Run a new program; raises InstallError if it does not run.

    While another thread starts a command, that has all files open for a moment, and a program that is open for writing
    cannot be started (man 2 execve).
    """
    for tries_left in range(20, -1, -1):
        try:
            process.run([str(program), *trial], job.ctx, environ=job.environ, timeout_s=TRIAL_WITHIN_S)
            return
        except InstallError as error:
            if not tries_left or getattr(error.__cause__, "errno", 0) != errno.ETXTBSY:
                raise
        job.ctx.wait(0.1)


@contextmanager
def _placing(job: Job, name: str) -> Iterator[None]:
    with writing(job.bin_folder, "not-in-place", f"{name} cannot be put into {job.bin_folder}"):
        yield
    job.ctx.notice(f"{name} is now in {job.bin_folder}")
