"""Writes an offline bundle in one pass: its members' bytes go straight into the file, and what they were into its head.

Sizes and checksums are known only behind the members, and the manifest comes first: room is left for it as it is known
before, with the longest numbers, and what is left over of that is blanks, which mean nothing in JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, BinaryIO

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.system.packages.bundle_manifest import (
    END,
    MANIFEST,
    MOST_BYTES,
    SIGNATURE,
    SUMS,
    BundleEntry,
    BundleManifest,
    member_header,
    padding,
    seconds,
    sums,
)

Sign = Callable[[bytes], bytes]
"""Returns the signature of a manifest; all are of the same length."""


@dataclass(frozen=True, slots=True)
class Part:
    """A member to be: `write` is given the file that takes its bytes."""

    path: str
    kind: str
    name: str
    version: str
    write: Callable[[IO[bytes]], object]


def write_bundle(
    target: Path, about: BundleManifest, parts: Sequence[Part], sign: Sign | None = None
) -> BundleManifest:
    """Write a bundle into a new file, durably, and return its manifest; `about` has all but its entries.

    Raises OSError, and what the parts raise: what there is then is no bundle.
    """
    blank = (BundleEntry(part.path, part.kind, part.name, part.version, "0" * 64, MOST_BYTES) for part in parts)
    room = _head(replace(about, entries=tuple(blank)), 0, sign)
    with os.fdopen(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.seek(sum(map(len, room)))
        entries = tuple(_write_part(file, part, seconds(about.created)) for part in parts)
        file.write(END)
        manifest = replace(about, entries=entries)
        file.seek(0)
        file.writelines(_head(manifest, len(room[1]), sign))
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _head(manifest: BundleManifest, least: int, sign: Sign | None) -> list[bytes]:
    """Return what stands before the members: for each member of the head its header, its content and its padding."""
    text = json.dumps(manifest.document(), indent=1).encode("ascii") + b"\n"
    head = {MANIFEST: text.ljust(least)}
    if sign:
        head[SIGNATURE] = sign(head[MANIFEST])
    head[SUMS] = sums(head)
    created = seconds(manifest.created)
    return [
        piece
        for name, content in head.items()
        for piece in (member_header(name, len(content), created), content, bytes(padding(len(content))))
    ]


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
    return BundleEntry(part.path, part.kind, part.name, part.version, sink.digest.hexdigest(), sink.size)
