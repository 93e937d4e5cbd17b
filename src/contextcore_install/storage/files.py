"""Reading and writing single files so that nothing hostile is followed and nothing is ever torn."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from contextcore_install.core.errors import MACHINE_REFUSES, ExitCode, InstallError
from contextcore_install.system import files

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""The largest JSON file that is read; the state of 10,000 steps takes 2 MB."""


class UnreadableFileError(ValueError):
    """A file that is there and holds nothing that can be used; the message says why."""


def unusable(path: Path, error: OSError) -> InstallError:
    """Return the error for a file or folder that the system does not let us use."""
    reason = (error.strerror or str(error)).lower()
    hints = dict(MACHINE_REFUSES)
    if error.errno in (errno.EACCES, errno.EPERM):
        hints[error.errno] = _make_usable(path, error.errno)
    return InstallError(
        "state-unusable",
        f"{path} cannot be used: {reason}",
        hint=hints.get(error.errno or 0, "choose another folder with CONTEXTCORE_HOME=FOLDER"),
        exit_code=ExitCode.STATE_UNUSABLE,
    )


def _make_usable(path: Path, number: int) -> str:
    """Return what makes usable what is refused to us: another owner, another mode, or without attributes."""
    place = path if os.path.lexists(path) else path.parent
    try:
        facts = place.lstat()
    except OSError:
        facts = None
    if facts and facts.st_uid == os.geteuid():
        if number == errno.EPERM:  # attributes that bind their owner too (man 1 chattr, man 1 chflags)
            undo = "chflags -R nouchg,noschg" if sys.platform == "darwin" else "chattr -R -ia"
            return f"sudo {undo} {quote(str(place))}"
        if facts.st_mode & stat.S_IRWXU != stat.S_IRWXU and stat.S_ISDIR(facts.st_mode):
            return f"chmod -R u+rwX {quote(str(place))}"
    return f'make it yours: sudo chown -R "$(id -un)" {quote(str(place))}'


def open_regular(path: Path) -> int | None:
    """Open a regular file for reading and return its descriptor, or None where nothing is there.

    Links are not followed and FIFOs not waited for. Raises UnreadableFileError for what is no regular file,
    InstallError where the system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            raise UnreadableFileError("it is not a regular file") from None
        raise unusable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFileError("it is not a regular file")
    return descriptor


def read_regular(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes | None:
    """Return a regular file's bytes, or None where nothing is there.

    Raises UnreadableFileError for what is no regular file or larger than `limit` bytes, InstallError where
    the system refuses.
    """
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    try:
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > limit:
                raise UnreadableFileError(f"it is larger than {limit} bytes")
            return file.read(limit + 1)
    except OSError as error:
        raise unusable(path, error) from error


def parse_json(content: bytes) -> Any:
    """Return what a JSON text holds; raises UnreadableFileError whatever is wrong with it."""
    if not content.strip():
        raise UnreadableFileError("it is empty")
    try:
        return _decode(content.decode("utf-8"))
    except RecursionError:
        raise UnreadableFileError("it is nested too deeply") from None
    except ValueError as error:
        raise UnreadableFileError(f"it is not JSON ({str(error)[:80]})") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ValueError(f"{text[:20]} is larger than any number")
    return number


# Made once: json.loads makes one for every text that it is given anything but the text for.
_decode = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode


def write_atomically(path: Path, content: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Replace a file as a whole, mode 0600; raises InstallError, and then the old file still stands."""
    try:
        files.write_atomically(path, content, durable=durable)
    except OSError as error:
        raise unusable(path, error) from error


ASIDE = ".unreadable-"
"""What the name of a file that was set aside holds, before the time."""
_CHUNK = 1024 * 1024
KEPT_QUARANTINED = 20
"""How many of the files that were set aside stay in a folder; the events of a journal were saved before."""


def quarantine(path: Path) -> Path:
    """Rename something unusable out of the way, beside where it was, and return its new path."""
    target = _path_aside(path)
    try:
        path.rename(target)
    except OSError as error:
        raise unusable(path, error) from error
    return target


def quarantine_copy(path: Path) -> Path:
    """Keep a file under a second name, beside the one that it has; return that. Raises InstallError."""
    target = _path_aside(path)
    try:
        os.link(path, target)
    except OSError:  # not every file system has links
        _copy(path, target)
    return target


def _copy(path: Path, target: Path) -> None:
    try:
        with path.open("rb") as file:
            files.write_atomically(target, iter(lambda: file.read(_CHUNK), b""))
    except OSError as error:
        raise unusable(path, error) from error


def _path_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}{ASIDE}{stamp}")
    count = 1
    while os.path.lexists(target):
        count += 1
        target = path.with_name(f"{path.name}{ASIDE}{stamp}-{count}")
    return target


def prune_quarantine(folder: Path, keep: int = KEPT_QUARANTINED) -> None:
    """Remove all that was set aside in a folder but the latest; whoever calls it has the folder to themselves."""
    found = [(path.name.rpartition(ASIDE)[2], path) for path in folder.glob(f"*{ASIDE}*")]
    for _, path in sorted(found)[:-keep]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
