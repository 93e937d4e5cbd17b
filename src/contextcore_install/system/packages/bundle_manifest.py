"""What an offline bundle says of itself, and the headers that follow from it (docs/reference/offline-bundle.md)."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import time
from calendar import timegm
from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.dataclass import asdict, dataclass

FORMAT = 1
MANIFEST, SIGNATURE, SUMS = "manifest.json", "manifest.json.minisig", "SHA256SUMS"
PROGRAM = "program"
FOLDERS = {
    "program": PROGRAM,
    "wheel": "wheels",
    "tool": "tools",
    "release": "releases",
    "node-image": "images",
    "image": "images",
}
"""The kinds of members, and the folder that each is in. Only `program` has folders of its own."""
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
TIME = "%Y-%m-%dT%H:%M:%SZ"
MOST_BYTES = 2**40 - 1  # of a member
MOST_ENTRIES = 10_000

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_TEXT = re.compile(r"[!-~]{1,300}")


class DamageError(Exception):
    """What is wrong with a bundle, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A member: `size` in bytes, `sha256` in hexadecimal."""

    path: str
    kind: str
    name: str
    version: str
    sha256: str
    size: int


_FIELDS = ("path", "kind", "name", "version", "sha256", "size")


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle says of itself: the program's version, when it was made (UTC), and what for."""

    version: str
    created: str
    system: str
    machine: str
    providers: tuple[str, ...]
    entries: tuple[BundleEntry, ...]

    @property
    def platform(self) -> str:
        return f"{self.system}/{self.machine}"

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": self.version,
            "created": self.created,
            "platform": {"system": self.system, "machine": self.machine},
            "providers": list(self.providers),
            "entries": [asdict(entry) for entry in self.entries],
        }


def member_header(path: str, size: int, created: int) -> bytes:
    """Return the one header that a member may have, longer for a long path; `created` in seconds since 1970."""
    member = tarfile.TarInfo(path)
    member.size, member.mtime = size, created
    member.mode = 0o755 if path.endswith(".sh") else 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> int:
    """Return how many zero bytes follow a member's content, up to a whole block."""
    return -size % BLOCK


def seconds(created: str) -> int:
    """Return the seconds since 1970 of a manifest's time. Raises ValueError."""
    return timegm(time.strptime(created, TIME))


def sums(contents: Mapping[str, bytes]) -> bytes:
    """Return what `sha256sum` prints for files by their names."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    return "".join(lines).encode()


def read_manifest(content: bytes) -> BundleManifest:
    """Return the manifest in a JSON text. Raises DamageError, and what wrong types and values raise."""
    document = json.loads(content)
    if document["format"] != FORMAT:
        raise DamageError(f"it has the format {str(document['format'])[:20]}, and this program reads {FORMAT}")
    manifest = BundleManifest(
        document["version"],
        document["created"],
        document["platform"]["system"],
        document["platform"]["machine"],
        tuple(document["providers"]),
        tuple(BundleEntry(*(entry[name] for name in _FIELDS)) for entry in document["entries"]),
    )
    for text in (manifest.version, manifest.system, manifest.machine, *manifest.providers):
        _require(_TEXT.fullmatch(text), text)
    _check_entries(manifest.entries)
    return manifest


def is_member_path(kind: str, path: str) -> bool:
    """Tell whether a member of a known kind may have this path: it leads nowhere else, and nothing in it is hidden."""
    below = f"(?:/{_NAME})+" if kind == PROGRAM else f"/{_NAME}"
    return re.fullmatch(FOLDERS[kind] + below, path) is not None


def _check_entries(entries: Sequence[BundleEntry]) -> None:
    for entry in entries:
        _require(is_member_path(entry.kind, entry.path), entry.path)
        _require(_TEXT.fullmatch(entry.name) and _TEXT.fullmatch(entry.version), entry.path)
        _require(re.fullmatch("[0-9a-f]{64}", entry.sha256), entry.path)
        _require(type(entry.size) is int and 0 <= entry.size <= MOST_BYTES, entry.path)
    if len({entry.path.lower() for entry in entries}) != len(entries) or len(entries) > MOST_ENTRIES:
        raise DamageError("its manifest names a member twice, or too many")


def _require(fits: object, text: object) -> None:
    if not fits:
        raise DamageError(f"its manifest says what no bundle says: {str(text)[:80]!r}")
