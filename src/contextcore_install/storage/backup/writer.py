"""Writes a backup: whole, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import IO, Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.text import IN_FILES
from contextcore_install.storage.backup.archive import CHUNK, MANIFEST, SCHEMA, ArchiveEntry
from contextcore_install.storage.files import unusable
from contextcore_install.system.files import UNFINISHED, sync_folder

SPARE_BYTES = 64 * 1024 * 1024
"""Room that is left on a disk beside what a copy takes."""

_LEVEL = 3
"""Of gzip: stores compress what they keep themselves, so trying harder costs time and wins little."""


def pack(
    staged: Path,
    target: Path,
    about: Mapping[str, Any],
    tell: Callable[[str], None],
    go_on: Callable[[], None] = lambda: None,
    *,
    replace: bool = False,
) -> None:
    """Write what lies in a folder as an archive, mode 0600; raises InstallError, and then nothing is there.

    A file that is there already is left alone, unless it is to be replaced (`replace`).
    `go_on` is called again and again, and ends the work by what it raises: nothing is there then either.
    """
    names = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
    temporary = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    try:
        files = [_entry(staged, name, go_on) for name in names]
        document = {"schema": SCHEMA, **about, "files": [entry.as_document() for entry in files]}
        manifest = json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", IN_FILES)
        try:
            _write(temporary, manifest, staged, files, tell, go_on)
            go_on()
            if os.path.lexists(target) and not replace:
                raise there_already(target)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
    except OSError as error:
        raise unusable(target, error) from error


def there_already(target: Path) -> InstallError:
    """Return the error for a file that would take another one's place."""
    return InstallError(
        "file-exists",
        f"{target} exists",
        hint="choose another name, or add --yes to replace it",
        exit_code=ExitCode.USAGE,
    )


class _Endable:
    """A file whose reading `go_on` can end: tarfile copies it in one call, however large it is."""

    def __init__(self, file: IO[bytes], go_on: Callable[[], None]) -> None:
        self._file, self._go_on = file, go_on

    def read(self, size: int = -1, /) -> bytes:
        self._go_on()
        return self._file.read(size)


def _write(
    path: Path,
    manifest: bytes,
    staged: Path,
    files: Sequence[ArchiveEntry],
    tell: Callable[[str], None],
    go_on: Callable[[], None],
) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as raw:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_LEVEL) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
        ):
            tar.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
            for entry in files:
                tell(f"packing {entry.name}")
                with (staged / entry.name).open("rb") as file:
                    tar.addfile(_member(entry.name, entry.bytes), _Endable(file, go_on))
        raw.flush()
        os.fsync(raw.fileno())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _entry(folder: Path, name: str, go_on: Callable[[], None]) -> ArchiveEntry:
    digest, size = hashlib.sha256(), 0
    with (folder / name).open("rb") as file:
        while chunk := file.read(CHUNK):
            go_on()
            digest.update(chunk)
            size += len(chunk)
    return ArchiveEntry(name, size, digest.hexdigest())


def require_room(folder: Path, wanted: int) -> None:
    """Raise InstallError where a folder's disk has no room for so many bytes and some to spare."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise unusable(folder, error) from error
    if free < wanted + SPARE_BYTES:
        mib = 1024 * 1024
        raise InstallError(
            "disk-full",
            f"{folder} has {free // mib} MiB free, and {(wanted + SPARE_BYTES) // mib + 1} MiB are needed",
            hint=f"df -h {quote(str(folder))}",
        )
