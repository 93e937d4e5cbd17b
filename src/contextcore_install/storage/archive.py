"""A backup as one file: a gzipped tar whose first member says what the others are, each with its SHA-256.

It is written whole or not at all. It is read as what a stranger may have made: everything is unpacked beside what it
is to replace, and checked, before anything is touched. docs/reference/backup.md is the format for other readers.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from contextcore_install.core.errors import InstallError
from contextcore_install.storage.files import (
    UnreadableFileError,
    open_regular,
    parse_json,
    unusable,
    write_atomically,
)
from contextcore_install.storage.layout import JOURNAL_FILE, STATE_FILE
from contextcore_install.tools.files import UNFINISHED, sync_folder
from contextcore_install.tools.trees import HEADERS_FAIL, TreeError, check_tree

SCHEMA = "contextcore-install/backup/v1"
MANIFEST = "manifest.json"
RECORDS, GRAFANA, VOLUMES = "records", "grafana", "volumes"
"""Folders of an archive."""

MOST_MANIFEST_BYTES = 4 * 1024 * 1024
MOST_FILES = 10_000
SPARE_BYTES = 64 * 1024 * 1024
"""Room that is left on a disk beside what a copy takes."""

_LEVEL = 3
"""Of gzip: stores compress what they keep themselves, so trying harder costs time and wins little."""
_CHUNK = 1024 * 1024
_HEADERS = 64 * 1024
_RECORDS = frozenset({f"{RECORDS}/{STATE_FILE}", f"{RECORDS}/{JOURNAL_FILE}"})
"""All that takes the place of files of the program's own."""
_NAME = re.compile(rf"(?:{GRAFANA}|{VOLUMES})/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,250}}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: its size in bytes, and its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself. `about` has what else stands in it."""

    cluster: str
    provider: str
    created_at: str
    volumes: tuple[str, ...]
    files: tuple[Entry, ...]
    about: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """How much it takes unpacked."""
        return sum(entry.bytes for entry in self.files)


def pack(
    staged: Path,
    target: Path,
    about: Mapping[str, Any],
    tell: Callable[[str], None],
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """Write what lies in a folder as an archive, mode 0600; raises InstallError, and then nothing is there.

    `go_on` is called again and again, and ends the work by what it raises: nothing is there then either.
    """
    names = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
    temporary = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    try:
        files = [_entry(staged, name, go_on) for name in names]
        document = {"schema": SCHEMA, **about, "files": [_document(entry) for entry in files]}
        manifest = json.dumps(document, indent=1, ensure_ascii=False).encode()
        try:
            _write(temporary, manifest, staged, files, tell, go_on)
            go_on()
            if os.path.lexists(target):
                raise there_already(target)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
    except OSError as error:
        raise unusable(target, error) from error


def there_already(target: Path) -> InstallError:
    """Return the error for a backup that would take another file's place."""
    return InstallError("file-exists", f"{target} is there already, and is left alone", hint="choose another")


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
    files: Sequence[Entry],
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


def _entry(folder: Path, name: str, go_on: Callable[[], None]) -> Entry:
    digest, size = hashlib.sha256(), 0
    with (folder / name).open("rb") as file:
        while chunk := file.read(_CHUNK):
            go_on()
            digest.update(chunk)
            size += len(chunk)
    return Entry(name, size, digest.hexdigest())


def _document(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "bytes": entry.bytes, "sha256": entry.sha256}


def unpack(
    source: Path,
    staged: Path,
    accept: Callable[[Manifest], None],
    go_on: Callable[[], None] = lambda: None,
) -> Manifest:
    """Lay an archive out in a new folder, its manifest too; return that once every file has been checked.

    `accept` is given the manifest before the rest is read, and raises InstallError for one that is not wanted.
    Raises InstallError `backup-unusable` for what is damaged or hostile, and what `go_on` does, which is called again
    and again; the folder is then gone again.
    """
    try:
        staged.mkdir(mode=0o700)
        try:
            return _unpack(source, staged, accept, go_on)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    except OSError as error:
        raise unusable(staged, error) from error


def _unpack(
    source: Path, staged: Path, accept: Callable[[Manifest], None], go_on: Callable[[], None]
) -> Manifest:
    try:
        with os.fdopen(_open(source), "rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
            limited = _Limited(unzipped, MOST_MANIFEST_BYTES + _HEADERS)
            with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]
                manifest = _manifest(tar)
                accept(manifest)
                limited.most += manifest.bytes + _HEADERS * (len(manifest.files) + 1)
                for entry in manifest.files:
                    _take(tar, entry, staged, go_on)
                _read_to_the_end(tar, limited)
        for entry in manifest.files:
            if entry.name.startswith(f"{VOLUMES}/"):
                go_on()
                with (staged / entry.name).open("rb") as file:
                    check_tree(file)
        _keep_manifest(manifest, staged)
    except (UnreadableFileError, TreeError) as error:
        raise _refused(source, str(error)) from None
    except (*HEADERS_FAIL, zlib.error, gzip.BadGzipFile) as error:
        raise _refused(source, f"it is damaged or cut short ({error})") from None
    return manifest


def _keep_manifest(manifest: Manifest, staged: Path) -> None:
    document = {**manifest.about, "files": [_document(entry) for entry in manifest.files]}
    write_atomically(staged / MANIFEST, json.dumps(document).encode())


def _open(source: Path) -> int:
    descriptor = open_regular(source)
    if descriptor is None:
        raise InstallError("backup-missing", f"there is no file {source}", hint=f"ls {source.parent}")
    return descriptor


def _read_to_the_end(tar: tarfile.TarFile, file: _Limited) -> None:
    if tar.next() is not None:
        raise UnreadableFileError("it holds more than it says")
    while file.read(_CHUNK):  # gzip has a checksum of its own behind the last block
        pass


class _Limited:
    """A file that gives no more than it should hold: what is packed small may be large."""

    def __init__(self, file: gzip.GzipFile, most: int) -> None:
        self._file = file
        self.most = most

    def read(self, size: int) -> bytes:
        self.most -= size
        if self.most < -_CHUNK:
            raise UnreadableFileError("it holds more than it says")
        return self._file.read(size)


def _manifest(tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > MOST_MANIFEST_BYTES:
        raise UnreadableFileError(f"it does not begin with a {MANIFEST}")
    content = tar.extractfile(member)
    return read_manifest(parse_json(content.read() if content else b""))


def read_manifest(document: Any) -> Manifest:
    """Return what a manifest says; raises UnreadableFileError."""
    try:
        schema = str(document["schema"])
        files = tuple(
            Entry(str(item["name"]), int(item["bytes"]), str(item["sha256"])) for item in document["files"]
        )
        manifest = Manifest(
            str(document["cluster"]),
            str(document["provider"]),
            str(document["created_at"]),
            tuple(str(item["name"]) for item in document["volumes"]),
            files,
            {key: value for key, value in document.items() if key != "files"},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFileError(f"its {MANIFEST} lacks something: {error}") from None
    if schema != SCHEMA:
        raise UnreadableFileError(f"it has the format {schema[:60]!r}, and this program reads {SCHEMA}")
    _check_manifest(manifest)
    return manifest


def _check_manifest(manifest: Manifest) -> None:
    names = [entry.name for entry in manifest.files]
    if len(names) > MOST_FILES or len(set(names)) != len(names):
        raise UnreadableFileError(f"its {MANIFEST} names a file twice, or too many")
    for entry in manifest.files:
        if not (entry.name in _RECORDS or _NAME.fullmatch(entry.name)) or entry.bytes < 0:
            raise UnreadableFileError(f"its {MANIFEST} names what no backup holds: {entry.name[:80]!r}")
    volumes = {name.partition("/")[2] for name in names if name.startswith(f"{VOLUMES}/")}
    if volumes != {f"{name}.tar" for name in manifest.volumes}:
        raise UnreadableFileError("its volumes are not those that it names")


def _take(tar: tarfile.TarFile, entry: Entry, staged: Path, go_on: Callable[[], None]) -> None:
    member = tar.next()
    if member is None:
        raise UnreadableFileError("it is cut short")
    if member.name != entry.name or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise UnreadableFileError(f"it holds what it does not name: {member.name[:80]!r}")
    if member.size != entry.bytes or member.sparse is not None:
        raise UnreadableFileError(f"{entry.name} has another size than it should")
    content = tar.extractfile(member)
    target = staged / entry.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        while content and (chunk := content.read(_CHUNK)):
            go_on()
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise UnreadableFileError(f"{entry.name} is not what it was: its checksum differs")


def _refused(source: Path, reason: str) -> InstallError:
    return InstallError(
        "backup-unusable", f"{source} is no backup that can be used: {reason}; nothing was changed"
    )


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
            hint=f"df -h {folder}",
        )
