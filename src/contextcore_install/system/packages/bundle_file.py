"""The offline bundle: one tar with all that an installation needs, read as a stranger's.

Its form (docs/reference/offline-bundle.md) is exact: every byte outside of its members' content follows from the
manifest, its first member. What has any other byte, or one too many, is refused. Nothing is ever unpacked by the names
in it: a reader asks for a member, and says where its bytes go.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import LAUNCHER, InstallError, own
from contextcore_install.system.files import open_regular, write_atomically
from contextcore_install.system.packages.bundle_manifest import (
    BLOCK,
    END,
    MANIFEST,
    PROGRAM,
    SIGNATURE,
    SUMS,
    BundleEntry,
    BundleManifest,
    DamageError,
    member_header,
    padding,
    read_manifest,
    seconds,
    sums,
)

CHUNK = 1024 * 1024
MOST_MANIFEST_BYTES, MOST_SIGNATURE_BYTES = 4 * 1024 * 1024, 4096


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle whose manifest and headers have been checked; the content of a member is checked as it is read.

    `signature` is empty if there is none; nobody has checked it yet.
    """

    path: Path
    manifest: BundleManifest
    manifest_bytes: bytes
    signature: str
    positions: Mapping[str, int]  # where the content of each member begins, by its path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read and check all but the members' content. Raises InstallError `bundle-missing`, `bundle-unusable`."""
        try:
            with _opened(path) as file:
                return cls(path, *_read_form(file))
        except FileNotFoundError as error:
            raise InstallError("bundle-missing", f"there is no file {path}") from error
        except (DamageError, OSError) as error:
            raise _refused(path, error) from error

    def require(self, version: str, system: str, machine: str) -> None:
        """Raise InstallError `bundle-version` or `bundle-platform` for a bundle of another program or machine."""
        here = f"{system}/{machine}"
        if self.manifest.platform != here:
            message = f"{self.path} is for {self.manifest.platform}, and this machine is {here}"
            make = own("bundle", "-o", "FILE", "--platform", here)
            raise InstallError("bundle-platform", message, hint=f"on a machine with a network: {make}")
        if self.manifest.version != version:
            message = f"{self.path} was made by version {self.manifest.version} of this program, which is {version}"
            hint = f"unpack the program in it (tar -xf FILE {PROGRAM}) and use that: {PROGRAM}/{LAUNCHER}"
            raise InstallError("bundle-version", message, hint=hint)

    def entries(self, kind: str) -> list[BundleEntry]:
        return [entry for entry in self.manifest.entries if entry.kind == kind]

    @contextmanager
    def open_member(self, entry: BundleEntry) -> Iterator[BinaryIO]:
        """Give what reads a member's bytes, unchecked, and no others. Raises InstallError `bundle-unusable`."""
        try:
            file = _opened(self.path)
            file.seek(self.positions[entry.path])
        except OSError as error:
            raise _refused(self.path, error) from error
        with file, io.BufferedReader(_Bounded(self.path, file, entry.size), CHUNK) as bounded:
            yield bounded

    def chunks(self, entry: BundleEntry) -> Iterator[bytes]:
        """Yield a member's bytes; raises InstallError at their end if they are not what the manifest says."""
        digest = hashlib.sha256()
        with self.open_member(entry) as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry.sha256:
            raise _refused(self.path, f"{entry.path} is not what it was: its checksum differs")

    def copy_checked(self, entry: BundleEntry, target: Path) -> None:
        """Write a member to `target`, mode 0600, whole or not at all. Raises InstallError, OSError of the target."""
        write_atomically(target, self.chunks(entry), durable=False)

    def verify(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Read every byte; `progress` is told how many have been read, and may end it by what it raises.

        Raises InstallError `bundle-unusable`.
        """
        done = 0
        for entry in self.manifest.entries:
            for chunk in self.chunks(entry):
                done += len(chunk)
                progress(done)


def _refused(path: Path, reason: object) -> InstallError:
    if isinstance(reason, OSError):
        reason = (reason.strerror or str(reason)).lower()
    message = f"{path} is no offline bundle that can be used: {reason}"
    return InstallError("bundle-unusable", message, hint="get the file again, or make another one")


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(open_regular(path.resolve()), "rb")  # it may be named by a link


class _Bounded(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._left = path, file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._file.read(min(self._left, len(buffer)))
        except OSError as error:
            raise _refused(self._path, error) from error
        if not chunk and self._left:
            raise _refused(self._path, "it is cut short")
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)


def _read_form(file: BinaryIO) -> tuple[BundleManifest, bytes, str, dict[str, int]]:
    """Check everything but the members' content. Raises DamageError, OSError."""
    head: dict[str, bytes] = {}
    try:
        headers = {MANIFEST: _read_head(file, MANIFEST, MOST_MANIFEST_BYTES, head)}
        manifest = read_manifest(head[MANIFEST])
        for name, most in ((SIGNATURE, MOST_SIGNATURE_BYTES), (SUMS, BLOCK)):
            headers[name] = _read_head(file, name, most, head)
        created = seconds(manifest.created)
        for name, content in head.items():
            if headers[name] != member_header(name, len(content), created):
                raise DamageError(f"the header of {name} is damaged")
        if head.pop(SUMS, b"") != sums(head):
            raise DamageError("its manifest is not what it was: its checksum differs")
        return manifest, head[MANIFEST], head.get(SIGNATURE, b"").decode("ascii"), _positions(file, manifest, created)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, tarfile.TarError) as error:
        raise DamageError(f"it is damaged, or something else ({str(error)[:80] or type(error).__name__})") from error


def _read_head(file: BinaryIO, name: str, most: int, head: dict[str, bytes]) -> bytes:
    """Put the content of the next member into `head` if it has that name; return its header, or else go back."""
    block = file.read(BLOCK)
    member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    if member.name != name and name == SIGNATURE:
        file.seek(-BLOCK, os.SEEK_CUR)
        return b""
    if member.name != name or not 0 < member.size <= most:
        raise DamageError(f"it has no {name} in its place")
    head[name] = file.read(member.size)
    if len(head[name]) != member.size or file.read(padding(member.size)).strip(b"\0"):
        raise DamageError(f"its {name} is damaged")
    return block


def _positions(file: BinaryIO, manifest: BundleManifest, created: int) -> dict[str, int]:
    """Return where each member's content begins, after checking all that is between."""
    positions: dict[str, int] = {}
    size = os.fstat(file.fileno()).st_size
    for entry in manifest.entries:
        expected = member_header(entry.path, entry.size, created)
        header = file.read(len(expected))
        positions[entry.path] = file.tell()
        end = file.tell() + entry.size
        if len(header) < len(expected) or end > size:
            raise DamageError("it is cut short")
        if header != expected:
            raise DamageError(f"it has something else where {entry.path} should be")
        file.seek(end)
        if file.read(padding(entry.size)) != bytes(padding(entry.size)):
            raise DamageError(f"it is damaged or cut short after {entry.path}")
    rest = file.read(len(END) + 1)
    if rest != END:
        raise DamageError("it is cut short" if END.startswith(rest) else "it holds more than it says")
    return positions
