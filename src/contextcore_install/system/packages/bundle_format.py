"""The form of an offline bundle (docs/reference/offline-bundle.md): what it says of itself, and how it is written.

It is written in one pass: members' bytes go straight into the file, and what they were into its head. Sizes and
checksums are known only behind the members, and the manifest comes first: room is left for it as it is known before,
with the longest numbers, and what is left over of that is blanks, which mean nothing in JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import time
from calendar import timegm
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from contextcore_install.core.dataclass import asdict, dataclass, replace

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

Sign = Callable[[bytes], bytes]
"""Returns the signature of a manifest; all are of the same length."""


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


@dataclass(frozen=True, slots=True)
class Part:
    """A member to be: `write` is given the file that takes its bytes."""

    path: str
    kind: str
    name: str
    version: str
    write: Callable[[IO[bytes]], object]

    def entry(self, sha256: str, size: int) -> BundleEntry:
        return BundleEntry(self.path, self.kind, self.name, self.version, sha256, size)


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


def head_of(manifest: bytes, signature: bytes, created: str) -> bytes:
    """Return what stands before the members: a signature that is empty is none."""
    head = {MANIFEST: manifest} | ({SIGNATURE: signature} if signature else {})
    return b"".join(_member(name, content, seconds(created)) for name, content in {**head, SUMS: sums(head)}.items())


def _member(name: str, content: bytes, created: int) -> bytes:
    return member_header(name, len(content), created) + content + bytes(padding(len(content)))


def write_bundle(
    target: Path, about: BundleManifest, parts: Sequence[Part], sign: Sign | None = None
) -> BundleManifest:
    """Write a bundle into a new file, durably, and return its manifest; `about` has all but its entries.

    Raises OSError, and what the parts raise: what there is then is no bundle.
    """
    sign = sign or (lambda _: b"")
    room = _text_of(replace(about, entries=tuple(part.entry("0" * 64, MOST_BYTES) for part in parts)))
    with os.fdopen(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.seek(len(head_of(room, sign(room), about.created)))
        entries = tuple(_write_part(file, part, seconds(about.created)) for part in parts)
        file.write(END)
        manifest = replace(about, entries=entries)
        text = _text_of(manifest).ljust(len(room))
        file.seek(0)
        file.write(head_of(text, sign(text), about.created))
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _text_of(manifest: BundleManifest) -> bytes:
    return json.dumps(manifest.document(), indent=1).encode("ascii") + b"\n"


class _Sink:
    """A file that takes a member's bytes, and what they come to."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self.size += len(chunk)
        return self._file.write(chunk)


def _write_part(file: BinaryIO, part: Part, created: int) -> BundleEntry:
    start = file.tell()
    file.seek(start + len(member_header(part.path, 0, created)))
    sink = _Sink(file)
    part.write(sink)  # type: ignore[arg-type]  # all that a part needs of a file
    file.write(bytes(padding(sink.size)))
    end = file.tell()
    file.seek(start)
    file.write(member_header(part.path, sink.size, created))
    file.seek(end)
    return part.entry(sink.digest.hexdigest(), sink.size)


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
        tuple(BundleEntry(*(entry[name] for name in BundleEntry.__slots__)) for entry in document["entries"]),
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
