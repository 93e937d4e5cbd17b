"""The offline bundle: one tar with all that an installation needs, read as a stranger's.

Its form (`bundle_format.py`) is exact: every byte outside of its members' content follows from the manifest, its first
member. What has any other byte, or one too many, is refused. Nothing is ever unpacked by the names in it: a reader asks
for a member, and says where its bytes go.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Self

from contextcore_install import __version__
from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import LAUNCHER, ExitCode, InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.system.files import open_regular, write_atomically
from contextcore_install.system.packages.bundle_format import (
    BLOCK,
    END,
    FOLDERS,
    MANIFEST,
    PROGRAM,
    SIGNATURE,
    BundleEntry,
    BundleManifest,
    DamageError,
    head_of,
    member_header,
    padding,
    read_manifest,
    seconds,
)
from contextcore_install.system.packages.releases import MACHINES, Platform, Release, Source

CHUNK = 1024 * 1024
_PROGRAMS = ("release", "tool")
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
    def open_member(self, entry: BundleEntry) -> Iterator[IO[bytes]]:
        """Give what reads a member's bytes, unchecked, and no others. Raises InstallError `bundle-unusable`."""
        try:
            file = _opened(self.path)
            file.seek(self.positions[entry.path])
        except OSError as error:
            raise _refused(self.path, error) from error
        with file:
            yield _Bounded(self.path, file, entry.size)  # type: ignore[misc]  # all that a reader needs of a file

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

    def verify(self, progress: Callable[[int], None] = lambda _: None, kinds: Container[str] = FOLDERS) -> None:
        """Read every byte of all members, or those of some kinds; raises InstallError.

        `progress` is told how many bytes were read, and ends it by what it raises.
        """
        done = 0
        for entry in filter(lambda entry: entry.kind in kinds, self.manifest.entries):
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


class _Bounded:
    """The next `size` bytes of a file."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._left = path, file, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(self._left, size)
        try:
            chunk = self._file.read(wanted)
        except OSError as error:
            raise _refused(self._path, error) from error
        if not chunk and wanted:
            raise _refused(self._path, "it is cut short")
        self._left -= len(chunk)
        return chunk


def _read_form(file: BinaryIO) -> tuple[BundleManifest, bytes, str, dict[str, int]]:
    """Check everything but the members' content. Raises DamageError, OSError."""
    try:
        content = _read_head(file, MANIFEST, MOST_MANIFEST_BYTES)
        if not content:
            raise DamageError(f"it has no {MANIFEST} in its place")
        manifest, signature = read_manifest(content), _read_head(file, SIGNATURE, MOST_SIGNATURE_BYTES)
        file.seek(0)
        _expect(
            file, head_of(content, signature, manifest.created), "its manifest is not what it was: its checksum differs"
        )
        return manifest, content, signature.decode("ascii"), _positions(file, manifest)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, tarfile.TarError) as error:
        raise DamageError(f"it is damaged, or something else ({str(error)[:80] or type(error).__name__})") from error


def _read_head(file: BinaryIO, name: str, most: int) -> bytes:
    """Return the content of the next member and go behind it; nothing if it has another name, or is too large."""
    member = tarfile.TarInfo.frombuf(file.read(BLOCK), "ascii", "strict")
    if member.name != name or not 0 < member.size <= most:
        return b""
    content = file.read(member.size)
    file.seek(padding(member.size), os.SEEK_CUR)
    return content


def _positions(file: BinaryIO, manifest: BundleManifest) -> dict[str, int]:
    """Return where each member's content begins, after checking all that is between and behind."""
    positions: dict[str, int] = {}
    created = seconds(manifest.created)
    for entry in manifest.entries:
        place = f"it has something else where {entry.path} should be"
        _expect(file, member_header(entry.path, entry.size, created), place)
        positions[entry.path] = file.tell()
        file.seek(entry.size, os.SEEK_CUR)
        _expect(file, bytes(padding(entry.size)), f"it is damaged after {entry.path}")
    surplus = "it holds more than it says"
    _expect(file, END, surplus)
    if file.read(1):
        raise DamageError(surplus)
    return positions


def _expect(file: BinaryIO, expected: bytes, otherwise: str) -> None:
    """Read these very bytes; raises DamageError if others follow, or too few."""
    found = file.read(len(expected))
    if found != expected:
        raise DamageError("it is cut short" if expected.startswith(found) else otherwise)


def open_bundle(path: Path, key: str = "") -> BundleFile:
    """Return a bundle that is for this program and this machine, and signed by a public key if one is given.

    Raises InstallError with exit code 3, or that of a usage error.
    """
    with before_anything():
        bundle = BundleFile.open(path)
        machine = os.uname().machine
        bundle.require(__version__, sys.platform, MACHINES.get(machine, machine))
        if key:
            from contextcore_install.system.packages.bundle_signature import verify_signature

            verify_signature(bundle.manifest_bytes, bundle.signature, key)
    return bundle


@contextmanager
def before_anything() -> Iterator[None]:
    """Give the errors within the exit code of a refusal before anything is done."""
    try:
        yield
    except InstallError as error:
        refusal = error.exit_code is ExitCode.USAGE
        raise error if refusal else replace(error, exit_code=ExitCode.PREFLIGHT_FAILED) from error


class BundleSource:
    """The files of releases that a bundle has: none of one in which any is not what it was."""

    def __init__(self, path: Path, key: str = "") -> None:
        self._path, self._key = path, key
        self._alone = threading.Lock()
        self._opened: BundleFile | InstallError | None = None

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        """Write upstream's file of a release to `target`, checked. Raises InstallError, OSError."""
        bundle = self._whole(ctx)
        entries = [entry for kind in _PROGRAMS for entry in bundle.entries(kind)]
        entry = next((item for item in entries if (item.name, item.version) == (release.name, release.version)), None)
        if entry is None:
            message = f"{self._path} has no {release.name} {release.version}."
            raise InstallError("bundle-lacks", message, hint="take a bundle that was made with it, or put it on PATH")
        if release.digest(platform) not in {"", entry.sha256}:
            message = f"{self._path} has another {release.name} {release.version} than the one that was released."
            evidence, hint = f"sha256 in the bundle {entry.sha256}", "get the file again, or make another one"
            raise InstallError("bundle-unusable", message, evidence, hint)
        ctx.activity(f"taking {release.name} {release.version} from {self._path.name}")
        bundle.copy_checked(entry, target)

    def _whole(self, ctx: StepContext) -> BundleFile:
        """Return the bundle, once all of its programs have been read; raises InstallError."""
        with self._alone:
            if self._opened is None:
                try:
                    bundle = open_bundle(self._path, self._key)
                    ctx.activity(f"checking {self._path.name}")
                    bundle.verify(lambda _: ctx.raise_if_cancelled(), _PROGRAMS)
                    self._opened = bundle
                except InstallError as error:
                    self._opened = error
            if isinstance(self._opened, InstallError):
                raise self._opened
            return self._opened


def source_of(config: ProviderConfig) -> Source:
    """Return where an installation takes releases from."""
    if config.bundle:
        return BundleSource(config.bundle, str(config.options.get("bundle_key", "")))
    from contextcore_install.system.packages.download import Upstream

    return Upstream(config.environ, config.mirror)
