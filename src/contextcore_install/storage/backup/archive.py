"""A backup as one file: a gzipped tar whose first member, the manifest, names the others, each with its SHA-256.

`packing.py` writes it and `unpacking.py` reads it; docs/reference/backup.md is the format for other readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.home import JOURNAL_FILE, STATE_FILE

SCHEMA = "contextcore-install/backup/v1"
MANIFEST = "manifest.json"
RECORDS, GRAFANA, VOLUMES = "records", "grafana", "volumes"
"""Folders of an archive."""

CHUNK = 1024 * 1024
"""Bytes that are read at once."""
MOST_FILES = 10_000
_RECORDS = frozenset({f"{RECORDS}/{STATE_FILE}", f"{RECORDS}/{JOURNAL_FILE}"})
"""All that takes the place of files of the program's own."""
_NAME = re.compile(rf"(?:{GRAFANA}|{VOLUMES})/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,250}}")


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file of an archive: its size in bytes, and its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str

    def as_document(self) -> dict[str, Any]:
        """Return the entry as a manifest has it."""
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself. `about` has what else stands in it."""

    cluster: str
    provider: str
    created_at: str
    volumes: tuple[str, ...]
    files: tuple[ArchiveEntry, ...]
    about: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """How much it takes unpacked."""
        return sum(entry.bytes for entry in self.files)


def read_manifest(document: Any) -> Manifest:
    """Return what a manifest says; raises UnreadableFileError."""
    try:
        schema = str(document["schema"])
        files = tuple(
            ArchiveEntry(str(item["name"]), int(item["bytes"]), str(item["sha256"])) for item in document["files"]
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
