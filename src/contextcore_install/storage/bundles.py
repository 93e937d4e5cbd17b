"""Bundles of evidence: gzipped tars of text, the newest few of them kept."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.text import IN_FILES
from contextcore_install.storage.files import prune, write_atomically
from contextcore_install.system.files import UNFINISHED

KEPT = 5  # bundles of a cluster stay in its folder
_SUFFIX = ".tar.gz"
_ABANDONED_S = 3600.0  # after this time, a file that is still being written has no writer any more


def bundle_name(cluster: str, at_us: int) -> str:
    """Return a bundle's file name; those of one cluster sort by time."""
    seconds, fraction = divmod(at_us, 1_000_000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{cluster}-diagnosis-{stamp}.{fraction // 1000:03d}Z{_SUFFIX}"


def write_bundle(path: Path, members: Iterable[tuple[str, str]], at_us: int) -> int:
    """Write texts by name, in their order, as one file of mode 0600; return its size. Raises InstallError."""
    seconds = at_us // 1_000_000
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=seconds) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, text in members:
            content = text.encode("utf-8", IN_FILES)
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o600, seconds
            tar.addfile(member, io.BytesIO(content))
    write_atomically(path, packed.getvalue())
    return len(packed.getvalue())


def prune_bundles(folder: Path, keep: int = KEPT) -> None:
    """Remove all bundles but the newest, and what killed writers left over."""
    prune(sorted(folder.glob(f"*-diagnosis-*{_SUFFIX}")), keep)
    for leftover in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_S:
                leftover.unlink()
