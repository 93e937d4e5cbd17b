"""A backup as one file (docs/reference/backup.md is its format): written whole, and read as a stranger's.

It is a gzipped tar whose first member, the manifest, names the others, each with its SHA-256.
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
from pathlib import Path
from shlex import quote
from typing import IO, Any

from contextcore_install.core.dataclass import asdict, dataclass
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.text import IN_FILES
from contextcore_install.storage.files import UnreadableFileError, open_regular, parse_json, using, write_atomically
from contextcore_install.storage.home import JOURNAL_FILE, STATE_FILE
from contextcore_install.system.files import UNFINISHED, sync_folder
from contextcore_install.system.trees import HEADERS_FAIL, TreeError, check_tree

SCHEMA = "contextcore-install/backup/v1"
MANIFEST = "manifest.json"
RECORDS, GRAFANA, VOLUMES = "records", "grafana", "volumes"  # folders of an archive
CHUNK = 1024 * 1024  # bytes that are read at once
SPARE_BYTES = 64 * 1024 * 1024  # stay free on a disk beside what a copy takes
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_FILES = 10_000
MOST_MANIFEST_BYTES = 4 * 1024 * 1024
_HEADERS = 64 * 1024
_RECORDS = frozenset({f"{RECORDS}/{STATE_FILE}", f"{RECORDS}/{JOURNAL_FILE}"})
_NAME = re.compile(rf"(?:{GRAFANA}|{VOLUMES})/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,250}}")
_LEVEL = 3  # of gzip: stores compress what they keep themselves, so more wins little


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file of an archive: its size in bytes, and its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of an archive in it. `about` has what else stands in it."""

    cluster: str
    provider: str
    created_at: str
    volumes: tuple[str, ...]
    files: tuple[ArchiveEntry, ...]
    about: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def read_manifest(document: Any) -> Manifest:
    """Return the manifest that a document holds; raises UnreadableFileError."""
    try:
        schema = str(document["schema"])
        manifest = Manifest(
            str(document["cluster"]),
            str(document["provider"]),
            str(document["created_at"]),
            tuple(str(item["name"]) for item in document["volumes"]),
            tuple(ArchiveEntry(str(e["name"]), int(e["bytes"]), str(e["sha256"])) for e in document["files"]),
            {key: value for key, value in document.items() if key != "files"},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFileError(f"its {MANIFEST} lacks something: {error}") from None
    if schema != SCHEMA:
        raise UnreadableFileError(f"it has the format {schema[:60]!r}, and this program reads {SCHEMA}")
    names = [entry.name for entry in manifest.files]
    if len(names) > _MOST_FILES or len(set(names)) != len(names):
        raise UnreadableFileError(f"its {MANIFEST} names a file twice, or too many")
    for entry in manifest.files:
        if not (entry.name in _RECORDS or _NAME.fullmatch(entry.name)) or entry.bytes < 0:
            raise UnreadableFileError(f"its {MANIFEST} names what no backup holds: {entry.name[:80]!r}")
    volumes = {name.partition("/")[2] for name in names if name.startswith(f"{VOLUMES}/")}
    if volumes != {f"{name}.tar" for name in manifest.volumes}:
        raise UnreadableFileError("its volumes are not those that it names")
    return manifest


def manifest_document(about: Mapping[str, Any], files: Sequence[ArchiveEntry]) -> dict[str, Any]:
    return {**about, "files": [asdict(entry) for entry in files]}


def pack(staged: Path, target: Path, about: Mapping[str, Any], ctx: StepContext, *, replace: bool = False) -> None:
    """Write the files of a folder as an archive, mode 0600; if anything is raised, nothing is there.

    A file that is there already is left alone unless `replace`. Raises InstallError, CancelledError.
    """
    names = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
    temporary = target.with_name(f".{target.name}.{os.getpid()}{UNFINISHED}")
    with using(target):
        files = [_entry(staged, name, ctx) for name in names]
        try:
            with os.fdopen(os.open(temporary, NEW_FILE, 0o600), "wb") as raw:
                _write(raw, staged, manifest_document({"schema": SCHEMA, **about}, files), ctx)
                raw.flush()
                os.fsync(raw.fileno())
            ctx.raise_if_cancelled()
            if os.path.lexists(target) and not replace:
                raise there_already(target)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)


def there_already(target: Path) -> InstallError:
    hint = "choose another name, or add --yes to replace it"
    return InstallError("file-exists", f"{target} exists", hint=hint, exit_code=ExitCode.USAGE)


def _entry(folder: Path, name: str, ctx: StepContext) -> ArchiveEntry:
    with (folder / name).open("rb") as file:
        digest = copy(file, None, ctx)
        return ArchiveEntry(name, file.tell(), digest)


def _write(raw: IO[bytes], staged: Path, manifest: Mapping[str, Any], ctx: StepContext) -> None:
    head = json.dumps(manifest, indent=1, ensure_ascii=False).encode("utf-8", IN_FILES)
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode = len(head), 0o600
        tar.addfile(member, io.BytesIO(head))
        for entry in manifest["files"]:
            ctx.activity(f"packing {entry['name']}")
            member.name, member.size = entry["name"], entry["bytes"]
            with (staged / entry["name"]).open("rb") as file:
                tar.addfile(member, _CancellableFile(file, ctx))


class _CancellableFile:
    """A file whose reading can be cancelled: tarfile copies it in one call, however large it is."""

    def __init__(self, file: IO[bytes], ctx: StepContext) -> None:
        self._file, self._ctx = file, ctx

    def read(self, size: int = -1, /) -> bytes:
        self._ctx.raise_if_cancelled()
        return self._file.read(size)


def copy(source: IO[bytes], sink: IO[bytes] | None, ctx: StepContext) -> str:
    """Copy a file, if anywhere, and return its SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        ctx.raise_if_cancelled()
        digest.update(chunk)
        if sink:
            sink.write(chunk)
    return digest.hexdigest()


def require_room(folder: Path, wanted: int) -> None:
    """Raise InstallError if a folder's disk has no room for so many bytes and some to spare."""
    with using(folder):
        free = shutil.disk_usage(folder).free
    if free < wanted + SPARE_BYTES:
        mib = 1024 * 1024
        message = f"{folder} has {free // mib} MiB free, and {(wanted + SPARE_BYTES) // mib + 1} MiB are needed"
        raise InstallError("disk-full", message, hint=f"df -h {quote(str(folder))}")


def unpack(source: Path, staged: Path, accept: Callable[[Manifest], None], ctx: StepContext) -> Manifest:
    """Lay an archive out in a new folder, its manifest too; return that once every file has been checked.

    `accept` is given the manifest before the rest is read, and raises InstallError for one that is not wanted. Raises
    InstallError `backup-unusable` for what is damaged or hostile, CancelledError; the folder is then gone again.
    """
    with using(staged):
        staged.mkdir(mode=0o700)
        try:
            return _unpack(source, staged, accept, ctx)
        except BaseException as error:
            shutil.rmtree(staged, ignore_errors=True)
            if isinstance(error, UnreadableFileError | TreeError):
                raise _refused(source, str(error)) from None
            if isinstance(error, (*HEADERS_FAIL, zlib.error, gzip.BadGzipFile)):
                raise _refused(source, f"it is damaged or cut short ({error})") from None
            raise


def _unpack(source: Path, staged: Path, accept: Callable[[Manifest], None], ctx: StepContext) -> Manifest:
    descriptor = open_regular(source)
    if descriptor is None:
        raise InstallError("backup-missing", f"there is no file {source}", hint=f"ls {quote(str(source.parent))}")
    with os.fdopen(descriptor, "rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
        limited = _Limited(unzipped, MOST_MANIFEST_BYTES + _HEADERS)
        with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > MOST_MANIFEST_BYTES:
                raise UnreadableFileError(f"it does not begin with a {MANIFEST}")
            content = tar.extractfile(first)
            manifest = read_manifest(parse_json(content.read() if content else b""))
            accept(manifest)
            limited.most += manifest.bytes + _HEADERS * (len(manifest.files) + 1)
            for entry in manifest.files:
                _take(tar, entry, staged, ctx)
            if tar.next() is not None:
                raise UnreadableFileError("it holds more than it says")
            while limited.read(CHUNK):  # gzip has a checksum of its own behind the last block
                pass
    for entry in manifest.files:
        if entry.name.startswith(f"{VOLUMES}/"):
            ctx.raise_if_cancelled()
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


def _take(tar: tarfile.TarFile, entry: ArchiveEntry, staged: Path, ctx: StepContext) -> None:
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
        digest = copy(content, file, ctx)
        file.flush()
        os.fsync(file.fileno())
    if digest != entry.sha256:
        raise UnreadableFileError(f"{entry.name} is not what it was: its checksum differs")


def _refused(source: Path, reason: str) -> InstallError:
    return InstallError("backup-unusable", f"{source} is no backup that can be used: {reason}; nothing was changed")
