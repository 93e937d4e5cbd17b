"""A mirror of releases on loopback, as slow as a good line, with files of the real ones' sizes."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from kind_registry import Line

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.system.packages.releases import Platform, Release, releases

#: Bytes a second over all connections together, and bytes sent at a time.
RATE, CHUNK = 20_000_000, 65_536
SIZES: Mapping[str, int] = {
    "mimir": 90_000_000,
    "loki": 35_000_000,
    "tempo": 70_157_712,
    "alloy": 100_000_000,
    "grafana": 338_000_000,
}
"""Bytes of each file, about; programs compress to a third."""
PROGRAM = b"#!/bin/sh\nexit 0\n"
FILES, FILE_BYTES = 10_000, 24_576
"""Of Grafana's tree, besides some large ones."""
_BLOCK = 98_304


@dataclass
class Mirror:
    """Files by the path of their URL, and when the first and the last byte of each was sent."""

    url: str
    files: Mapping[str, Path]
    times: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def largest_s(self) -> float:
        """Seconds that the largest file took."""
        began, ended = self.times[max(self.files, key=lambda path: self.files[path].stat().st_size)]
        return ended - began


def make_files(folder: Path, share: float) -> dict[str, Path]:
    """Make the files of all releases and of their sums, with a share of their sizes; return them by path."""
    platform, files = Platform.here(), {}
    for name, size in SIZES.items():
        release = releases()[name]
        path = folder / release.stored_name(platform)
        with path.open("wb") as file:
            _fill(file, release, platform, int(size * share))
        files[_path(release.url(platform))] = path
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        sums = folder / f"{path.name}.sums"
        sums.write_text(f"{digest}  {release.file_name(platform)}\n")
        files[_path(release.sums_url(platform))] = sums
    return files


def _fill(file: IO[bytes], release: Release, platform: Platform, size: int) -> None:
    member = release.program_in_archive(platform)
    if not release.is_archive:
        _write(file, PROGRAM, size // 3)
    elif release.file.endswith(".zip"):
        deflated = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        with deflated as archive, archive.open(member, "w") as content:
            _write(content, PROGRAM, size)
    else:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
            home, small = f"{release.name}-{release.version}", FILES * FILE_BYTES // 3
            if member:
                _add(tar, member, PROGRAM, size)
                return
            _add(tar, f"{home}/bin/{release.name}", PROGRAM, 0)
            for number in range(FILES * size // SIZES[release.name]):
                _add(tar, f"{home}/public/{number % 100}/{number}.js", os.urandom(FILE_BYTES // 3), 0)
            for number in range(3):
                _add(tar, f"{home}/data/{number}", b"", (size - small * size // SIZES[release.name]) // 3)


def _add(tar: tarfile.TarFile, name: str, head: bytes, noise: int) -> None:
    member = tarfile.TarInfo(name)
    if not noise:
        content: IO[bytes] = io.BytesIO(head.ljust(FILE_BYTES, b"\0"))
        member.size = FILE_BYTES
    else:
        content = io.BufferedReader(_Noise(head, noise), _BLOCK)
        member.size = len(head) + noise // (_BLOCK // 3) * _BLOCK
    member.mode = 0o755
    tar.addfile(member, content)


class _Noise(io.RawIOBase):
    """A beginning, and then blocks of which a third does not compress."""

    def __init__(self, head: bytes, noise: int) -> None:
        self._left, self._blocks = head, noise // (_BLOCK // 3)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left and self._blocks:
            self._left, self._blocks = os.urandom(_BLOCK // 3).ljust(_BLOCK, b"\0"), self._blocks - 1
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _write(file: IO[bytes], head: bytes, noise: int) -> None:
    source = io.BufferedReader(_Noise(head, noise), _BLOCK)
    while chunk := source.read(_BLOCK):
        file.write(chunk)


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


@contextmanager
def serve(files: Mapping[str, Path], rate: float) -> Iterator[Mirror]:
    line, mirror = Line(rate), Mirror("", files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            began, file = time.monotonic(), files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            with file.open("rb") as content:
                while chunk := content.read(CHUNK):
                    line.wait_for(len(chunk))
                    self.wfile.write(chunk)
            mirror.times[self.path] = began, time.monotonic()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
