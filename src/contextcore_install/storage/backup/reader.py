"""Reads a backup that a stranger may have made: it is unpacked beside what it is to replace, and checked, first."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.storage.backup.archive import (
    CHUNK,
    MANIFEST,
    NEW_FILE,
    VOLUMES,
    ArchiveEntry,
    Checkpoint,
    Manifest,
    copy,
    manifest_document,
    read_manifest,
)
from contextcore_install.storage.files import UnreadableFileError, open_regular, parse_json, using, write_atomically
from contextcore_install.system.trees import HEADERS_FAIL, TreeError, check_tree

MOST_MANIFEST_BYTES = 4 * 1024 * 1024
_HEADERS = 64 * 1024


def unpack(
    source: Path, staged: Path, accept: Callable[[Manifest], None], checkpoint: Checkpoint = lambda: None
) -> Manifest:
    """Lay an archive out in a new folder, its manifest too; return that once every file has been checked.

    `accept` is given the manifest before the rest is read, and raises InstallError for one that is not wanted. Raises
    InstallError `backup-unusable` for what is damaged or hostile, and what the checkpoint raises; the folder is then
    gone again.
    """
    with using(staged):
        staged.mkdir(mode=0o700)
        try:
            return _unpack(source, staged, accept, checkpoint)
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, UnreadableFileError | TreeError):
                raise _refused(source, str(error)) from None
            if isinstance(error, (*HEADERS_FAIL, zlib.error, gzip.BadGzipFile)):
                raise _refused(source, f"it is damaged or cut short ({error})") from None
            raise


def _unpack(source: Path, staged: Path, accept: Callable[[Manifest], None], checkpoint: Checkpoint) -> Manifest:
    descriptor = open_regular(source)
    if descriptor is None:
        raise InstallError("backup-missing", f"there is no file {source}", hint=f"ls {quote(str(source.parent))}")
    with os.fdopen(descriptor, "rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
        limited = _Limited(unzipped, MOST_MANIFEST_BYTES + _HEADERS)
        with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]
            manifest = _manifest(tar)
            accept(manifest)
            limited.most += manifest.bytes + _HEADERS * (len(manifest.files) + 1)
            for entry in manifest.files:
                _take(tar, entry, staged, checkpoint)
            if tar.next() is not None:
                raise UnreadableFileError("it holds more than it says")
            while limited.read(CHUNK):  # gzip has a checksum of its own behind the last block
                pass
    for entry in manifest.files:
        if entry.name.startswith(f"{VOLUMES}/"):
            checkpoint()
            with (staged / entry.name).open("rb") as file:
                check_tree(file)
    write_atomically(staged / MANIFEST, json.dumps(manifest_document(manifest.about, manifest.files)).encode())
    return manifest


class _Limited:
    """A file that gives no more than it should hold: what is packed small may be large."""

    def __init__(self, file: gzip.GzipFile, most: int) -> None:
        self._file = file
        self.most = most

    def read(self, size: int) -> bytes:
        self.most -= size
        if self.most < -CHUNK:
            raise UnreadableFileError("it holds more than it says")
        return self._file.read(size)


def _manifest(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > MOST_MANIFEST_BYTES:
        raise UnreadableFileError(f"it does not begin with a {MANIFEST}")
    content = tar.extractfile(member)
    return read_manifest(parse_json(content.read() if content else b""))


def _take(tar: tarfile.TarFile, entry: ArchiveEntry, staged: Path, checkpoint: Checkpoint) -> None:
    member = tar.next()
    if member is None:
        raise UnreadableFileError("it is cut short")
    content = tar.extractfile(member) if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else None
    if member.name != entry.name or content is None:
        raise UnreadableFileError(f"it holds what it does not name: {member.name[:80]!r}")
    if member.size != entry.bytes or member.sparse is not None:
        raise UnreadableFileError(f"{entry.name} has another size than it should")
    target = staged / entry.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(target, NEW_FILE, 0o600), "wb") as file:
        digest = copy(content, file, checkpoint)
        file.flush()
        os.fsync(file.fileno())
    if digest != entry.sha256:
        raise UnreadableFileError(f"{entry.name} is not what it was: its checksum differs")


def _refused(source: Path, reason: str) -> InstallError:
    return InstallError("backup-unusable", f"{source} is no backup that can be used: {reason}; nothing was changed")
