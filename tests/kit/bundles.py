"""Reading bundles as whoever gets one does."""

from __future__ import annotations

import tarfile
from pathlib import Path


def read_bundle(path: Path) -> dict[str, str]:
    """Return a bundle's members in their order."""
    with tarfile.open(path, "r:gz") as bundle:
        members = {}
        for item in bundle:
            assert item.isreg(), item.name
            content = bundle.extractfile(item)
            assert content is not None
            members[item.name] = content.read().decode("utf-8")
        return members
