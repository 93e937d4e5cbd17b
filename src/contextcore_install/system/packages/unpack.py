"""Takes a program, or a whole tree, out of a release's archive, without trusting what the archive says."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from contextcore_install.core.errors import InstallError
from contextcore_install.system.trees import HEADERS_FAIL, read_tree

_CHUNK = 256 * 1024
_DAMAGE = (*HEADERS_FAIL, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, NotImplementedError, RuntimeError)
"""What the libraries raise for archives that are damaged, encrypted or compressed in an unknown way."""


def take_program(archive: Path, member: str, target: Path) -> None:
    """Write the one member of an archive (.zip, .tar.gz) to `target`; raises InstallError `archive`, OSError.

    Nothing else of the archive is written, wherever it says that it belongs.
    """
    with _reading(archive):
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                if member not in zipped.namelist():
                    raise _no_member(archive, member)
                with zipped.open(member) as content:
                    _write(content, target)
            return
        with tarfile.open(archive, "r|gz", errorlevel=1) as tar:
            for item in tar:
                if item.isreg() and item.name.removeprefix("./") == member:
                    _write(tar.extractfile(item), target)
                    return
        raise _no_member(archive, member)


def take_tree(archive: Path, target: Path) -> Path:
    """Lay a .tar.gz out in `target`, which this makes; return the one folder in it, or else `target` itself.

    Raises InstallError `archive` for anything that does not stay in its place, and OSError.
    """
    with _reading(archive), gzip.open(archive) as content:
        read_tree(content, target, links=True)  # type: ignore[arg-type] # it reads and seeks, as a file does
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def _write(content: IO[bytes] | None, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o700), "wb") as file:
        if content:
            shutil.copyfileobj(content, file, _CHUNK)


def _no_member(archive: Path, member: str) -> InstallError:
    return InstallError("archive", f"{archive.name} holds no {member}.")


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise InstallError("archive", f"{archive.name} cannot be unpacked: {error}.") from error
