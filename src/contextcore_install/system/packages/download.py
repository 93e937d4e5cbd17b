"""Downloads pinned releases from upstream, or from a mirror with the same paths.

What counts is the sha256: the committed one or, where there is none, the one that is published beside the file. What
arrived before an interruption lies beside the target under the sha256 that it is to have, and is continued.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.files import write_all, writing
from contextcore_install.system.packages.http_client import Client, Limits
from contextcore_install.system.packages.progress import MIB, Progress
from contextcore_install.system.packages.releases import NOT_PUBLISHED, Platform, Release

if TYPE_CHECKING:
    import urllib3

CHUNK_BYTES = 256 * 1024
SPARE_BYTES = 64 * MIB
"""Stay free on the disk: others write to it too."""
PART = ".part"
"""How the name of what is not complete ends."""
LONGEST_SUMS = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Download:
    """One file on its way: to `target`, by way of `part`."""

    ctx: StepContext
    name: str
    url: str
    wanted: str
    target: Path

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.{self.wanted[:12]}{PART}")


class Upstream:
    """The `Source` over HTTP. Several threads may share one: they have one line of progress."""

    def __init__(self, environ: Mapping[str, str], mirror: str = "", *, limits: Limits | None = None) -> None:
        self._mirror = mirror.rstrip("/")
        self._limits = limits or Limits()
        self._client = Client(environ, self._limits, self._mirror)
        self._progress = Progress()
        self._unreachable: dict[str, InstallError] = {}
        self._untold = threading.Lock()  # taken once: what the mirror is trusted with is said once

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        """Download a release to `target`; raises InstallError for anything but the bytes with the right sha256.

        Codes: `no-release`, `download-unreachable`, `download-missing`, `download-refused` (another HTTP status, a web
        page, no encryption), `download-broken` (cut off, too slow), `download-checksum`, `download-unwritable`. After
        an error, or CancelledError, there is no `target`, and what arrived is continued next time.
        """
        wanted = release.digest(platform)
        if wanted == NOT_PUBLISHED:
            message = f"There is no {release.name} {release.version} for {platform.system} on {platform.machine}."
            raise InstallError("no-release", message)
        url = self.place(release.url(platform))
        host = urlsplit(url).netloc
        if host in self._unreachable:  # the next would wait as long for the same answer
            raise self._unreachable[host]
        try:
            wanted = wanted or self.published_sum(ctx, release, platform)
            with writing(target.parent, "download-unwritable", f"{target} cannot be written"):
                self._fetch(_Download(ctx, release.name, url, wanted, target))
        except InstallError as error:
            if error.code == "download-unreachable":
                self._unreachable[host] = error
            raise

    def place(self, url: str) -> str:
        """Return where a file of upstream's is: the mirror's URL takes the place of scheme and host."""
        return self._mirror + urlsplit(url).path if self._mirror else url

    def published_sum(self, ctx: StepContext, release: Release, platform: Platform) -> str:
        """Return the sha256 that is published for a release; raises InstallError."""
        url, name = self.place(release.sums_url(platform)), release.file_name(platform)
        if not is_protected(url):
            message = f"{release.name} {release.version} has no digest in this program, and {url} is not encrypted."
            raise InstallError("download-refused", message, hint="use a mirror with https")
        if self._mirror and self._untold.acquire(blocking=False):
            ctx.notice(
                f"where this program has no sha256, the mirror's own is trusted ({release.name}, and maybe others)"
            )
        with self._client.get(ctx, url) as response:
            text = response.read(LONGEST_SUMS, decode_content=False).decode("ascii", errors="replace")
        sums = re.findall(r"^\s*([0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?", text, re.MULTILINE)
        for digest, named in sums:
            if not release.sums_name_files or Path(named).name == name:
                return str(digest).lower()
        if sums:
            raise InstallError("no-release", f"There is no {name} of {release.name} {release.version}: {url} lacks it.")
        raise InstallError("download-checksum", f"{url} holds no sha256 of {name}.", evidence=text[:200])

    def _fetch(self, download: _Download) -> None:
        """Have a file complete, in as many tries as bring it forward; raises InstallError, OSError."""
        ctx, part = download.ctx, download.part
        if _sum_of(download.target) == download.wanted:
            return
        farthest, in_vain = _size(part), self._limits.tries  # nothing came yet: a first failure is the last
        while True:
            try:
                if self._attempt(download):
                    return
            except InstallError as error:
                if not _size(part):
                    part.unlink(missing_ok=True)
                in_vain = 0 if _size(part) > farthest else in_vain + 1
                farthest = max(farthest, _size(part))
                if error.code not in {"download-broken", "download-unreachable"} or in_vain >= self._limits.tries:
                    raise
                ctx.output(f"{error.message} It is continued.")
                ctx.wait(self._limits.pause_s)

    def _attempt(self, download: _Download) -> bool:
        """Receive what is missing; False if what was there before proved wrong, and all is missing now."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(download.part, flags, 0o600), "r+b", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256")
            before = file.tell()
            if not before or digest.hexdigest() != download.wanted:
                with self._client.get(download.ctx, download.url, before) as response:
                    if not _continues(response, before):
                        before = 0
                        file.seek(0)
                        file.truncate()
                        digest = hashlib.sha256()
                    if response.status == 416:
                        return False
                    self._receive(download, response, file, digest.update)
                os.fsync(file.fileno())
        if digest.hexdigest() == download.wanted:
            download.part.replace(download.target)
            return True
        download.part.unlink()
        if before:
            return False
        message = f"{download.url} is not what was published: its checksum differs."
        raise InstallError(
            "download-checksum", message, f"sha256 published {download.wanted}, downloaded {digest.hexdigest()}"
        )

    def _receive(
        self, download: _Download, response: urllib3.BaseHTTPResponse, file: Any, update: Callable[[bytes], None]
    ) -> None:
        there, length = file.tell(), int(response.headers.get("Content-Length", "0") or 0)
        free = shutil.disk_usage(download.part.parent).free
        if length and length + SPARE_BYTES > free:
            message = (
                f"{download.name} needs {length // MIB} MiB, and {free // MIB} are free in {download.part.parent}."
            )
            raise InstallError("download-unwritable", message, hint="free some disk space")
        self._progress.begin(download.name, there, there + length if length else 0)
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            download.ctx.raise_if_cancelled()
            write_all(file.fileno(), chunk)
            update(chunk)
            if line := self._progress.add(download.name, len(chunk)):
                download.ctx.activity(line)


def is_protected(url: str) -> bool:
    """Whether nobody on the way can change what a URL answers: it is encrypted, or of this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.hostname or "") in {"127.0.0.1", "::1", "localhost"}


def _continues(response: urllib3.BaseHTTPResponse, before: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {before}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sum_of(path: Path) -> str:
    """Return a file's sha256; empty if there is none."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
