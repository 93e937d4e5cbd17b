"""Bundles as whoever gets one reads them, and headers of tars as no program writes them."""

from __future__ import annotations

import tarfile
from pathlib import Path

BLOCK = 512


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


def header(kind: bytes, content: bytes = b"", *, size: int | None = None) -> bytes:
    """Return a header of a kind and its content, padded; `size` is what it says of it where that is not so."""
    member = tarfile.TarInfo("a")
    member.type, member.size = kind, len(content) if size is None else size
    return member.tobuf(tarfile.GNU_FORMAT) + content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0")


def pax(keyword: str, value: str, content: bytes = b"") -> bytes:
    """Return a file that a pax header says something of."""
    record = f" {keyword}={value}\n".encode()
    length = len(record) + 2
    assert length < 100
    return header(tarfile.XHDTYPE, str(length).encode() + record) + header(tarfile.REGTYPE, content)


def _sparse_without_end() -> bytes:
    """Return a sparse header that says that more of its map follows, and nothing does."""
    block = bytearray(header(tarfile.GNUTYPE_SPARSE))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


END = b"\0" * 2 * BLOCK
ABSURD: dict[str, bytes] = {
    "a chain of long names": header(tarfile.GNUTYPE_LONGNAME, b"abcd\0") * 1500,
    "a sparse map of letters": pax("GNU.sparse.map", "1,x,2"),
    "a sparse size of letters": pax("GNU.sparse.size", "zz"),
    "a size beyond all files": pax("size", "9" * 60),
    "a size that leads back": pax("size", "-1536"),
    "a size that leads out": header(tarfile.REGTYPE, size=2**63 - 1024),
    "a sparse size that leads back": header(tarfile.GNUTYPE_SPARSE, size=-1024),
    "a sparse header without its end": _sparse_without_end(),
}
