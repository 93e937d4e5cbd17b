"""Reads and writes single files so that no link is followed and nothing is ever torn; quarantines what is unusable."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from contextcore_install.core.dataclass import Any
from contextcore_install.core.errors import MACHINE_REFUSES, InstallError, quoted, state_error
from contextcore_install.system import files

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024  # of a JSON file; the state of 10,000 steps takes 2 MB
QUARANTINED = ".unreadable-"  # precedes the time in the name of a quarantined file
KEPT_QUARANTINED = 20  # in each folder; the events of a damaged journal were saved before
_CHUNK = 1024 * 1024


class UnreadableFileError(ValueError):
    """A file that is there and holds nothing that can be used; the message says why."""


def unusable(path: Path, error: OSError) -> InstallError:
    """Return the error for a file or folder that the system does not let us use."""
    reason = (error.strerror or str(error)).lower()
    hint = MACHINE_REFUSES.get(error.errno or 0, "choose another folder with CONTEXTCORE_HOME=FOLDER")
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = _make_usable(path, error.errno)
    return state_error("state-unusable", f"{path} cannot be used: {reason}", hint)


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Within the block, turn an OSError into the InstallError `unusable` of a path."""
    try:
        yield
    except OSError as error:
        raise unusable(path, error) from error


def _make_usable(path: Path, number: int) -> str:
    """Return the command that makes usable what is refused to us, by owner, mode or attributes."""
    place = path if os.path.lexists(path) else path.parent
    try:
        facts = place.lstat()
    except OSError:
        facts = None
    if facts and facts.st_uid == os.geteuid():
        if number == errno.EPERM:  # attributes that bind their owner too (man 1 chattr, man 1 chflags)
            undo = "chflags -R nouchg,noschg" if sys.platform == "darwin" else "chattr -R -ia"
            return f"sudo {undo} {quoted(str(place))}"
        if facts.st_mode & stat.S_IRWXU != stat.S_IRWXU and stat.S_ISDIR(facts.st_mode):
            return f"chmod -R u+rwX {quoted(str(place))}"
    return f'make it yours: sudo chown -R "$(id -un)" {quoted(str(place))}'


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, if there is one; raises InstallError."""
    with using(folder), suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return list(entries)
    return []


def open_regular(path: Path) -> int | None:
    """Open a file for reading and return its descriptor, or None if nothing is there; no link is followed.

    Raises UnreadableFileError for what is not a regular file, and InstallError.
    """
    try:
        return files.open_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if isinstance(error, files.NotRegularError) or error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            raise UnreadableFileError("it is not a regular file") from None
        raise unusable(path, error) from error


def read_regular(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes | None:
    """Return a regular file's bytes, or None if nothing is there; raises like `open_regular`, also above the limit."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with using(path), os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size > limit:
            raise UnreadableFileError(f"it is larger than {limit} bytes")
        return file.read(limit + 1)


def parse_json(content: bytes) -> Any:
    """Return what a JSON text holds; raises UnreadableFileError."""
    if not content.strip():
        raise UnreadableFileError("it is empty")
    try:
        return _decode(content.decode("utf-8"))
    except RecursionError:
        raise UnreadableFileError("it is nested too deeply") from None
    except ValueError as error:
        raise UnreadableFileError(f"it is not JSON ({str(error)[:80]})") from None


def json_encoder(item_separator: str, key_separator: str) -> Callable[[object], str]:
    """Return what makes JSON of a document without cycles; it raises ValueError for numbers that JSON does not have.

    `JSONEncoder.encode` makes its encoder in C anew for each document: a third of what it takes for an event.
    """
    separators = (item_separator, key_separator)
    plain = json.JSONEncoder(ensure_ascii=False, separators=separators, allow_nan=False, default=str)
    try:  # it is no documented part of the standard library
        make, text = json.encoder.c_make_encoder, json.encoder.encode_basestring  # type: ignore[attr-defined]
        encode = make(None, str, text, None, key_separator, item_separator, False, False, False)
    except (AttributeError, TypeError):
        return plain.encode
    return lambda document: "".join(encode(document, 0))


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
    with using(path):
        files.write_atomically(path, content, durable=durable)


def quarantine(path: Path) -> Path:
    """Rename something unusable out of the way, beside where it was, and return its new path."""
    target = _quarantine_path(path)
    with using(path):
        path.rename(target)
    return target


def quarantine_copy(path: Path) -> Path:
    """Keep a file under a second name, beside the one that it has; return that. Raises InstallError."""
    target = _quarantine_path(path)
    try:
        os.link(path, target)
    except OSError:  # not every file system has links
        with using(path), path.open("rb") as file:
            files.write_atomically(target, iter(lambda: file.read(_CHUNK), b""))
    return target


def _quarantine_path(path: Path) -> Path:
    return stamped(path.with_name(path.name + QUARANTINED), "-")


def stamped(beginning: Path, before_number: str) -> Path:
    """Return a path that nothing has: with the time in UTC at its end, and a number if there is one of this second."""
    first = beginning.with_name(beginning.name + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    others = (first.with_name(f"{first.name}{before_number}{number}") for number in count(2))
    return next(path for path in chain([first], others) if not os.path.lexists(path))


def prune(paths: Iterable[Path], keep: int) -> None:
    """Remove all files and folders but the latest, which come last; what the system refuses stays."""
    for path in list(paths)[:-keep]:
        files.discard(path)


def prune_quarantine(folder: Path, keep: int = KEPT_QUARANTINED) -> None:
    """Remove all quarantined files of a folder but the latest; the caller has the folder to itself."""
    prune(sorted(folder.glob(f"*{QUARANTINED}*"), key=lambda path: (path.name.rpartition(QUARANTINED)[2], path)), keep)
