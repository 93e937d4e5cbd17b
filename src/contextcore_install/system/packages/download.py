"""Downloads a pinned release and checks it against its published sha256."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext

if TYPE_CHECKING:
    import urllib3

#: Seconds to connect, and to wait for the next piece.
CONNECT_WITHIN_S, READ_WITHIN_S = 10.0, 20.0
CHUNK_BYTES = 256 * 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PinnedDownload:
    """Where a release is: `base_url` / `file`, and the same with `checksum_suffix` for its sha256.

    `file` takes {version}, {system} (linux, darwin) and {machine} (amd64, arm64). `read_within_s`: as READ_WITHIN_S.
    """

    version: str
    base_url: str
    file: str
    checksum_suffix: str
    read_within_s: float = READ_WITHIN_S

    def at(self, base_url: str) -> PinnedDownload:
        """Return the same release from another place, such as a mirror."""
        return replace(self, base_url=base_url)

    def url(self, system: str, machine: str) -> str:
        return f"{self.base_url}/{self.file.format(version=self.version, system=system, machine=machine)}"


def download_checked(
    ctx: StepContext, release: PinnedDownload, system: str, machine: str, target: Path, environ: Mapping[str, str]
) -> None:
    """Download a release to `target`; raises InstallError for anything but the published bytes.

    Codes: `download-unreachable`, `download-refused` (HTTP status), `download-broken` (cut off or too slow),
    `download-checksum`, `download-unwritable`. After an error, or CancelledError, there is no `target`.
    """
    url, client = release.url(system, machine), _Client(ctx, release.read_within_s, environ)
    wanted = client.published_sum(url + release.checksum_suffix)
    try:
        client.fetch(url, target, wanted)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise InstallError("download-unwritable", f"{target} cannot be written: {error.strerror}.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class _Client:
    """Requests of one download; each is broken off when the step is cancelled."""

    ctx: StepContext
    read_within_s: float
    environ: Mapping[str, str]

    def published_sum(self, url: str) -> str:
        """Return the sha256 that a file of `sha256sum`'s format begins with."""
        with self._get(url) as response:
            text = response.read(4096).decode("ascii", errors="replace")
        found = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
        if not found:
            raise InstallError("download-checksum", f"{url} holds no sha256.", evidence=text[:200])
        return found.group(1).lower()

    def fetch(self, url: str, target: Path, wanted: str) -> None:
        """Write what is at a URL to `target`; raises InstallError if its sha256 is not the one that is wanted."""
        digest, done = hashlib.sha256(), 0
        with self._get(url) as response, target.open("wb") as file:
            total = int(response.headers.get("Content-Length", "0") or 0)
            of = f" of {total // MIB}" if total else ""
            while chunk := response.read(CHUNK_BYTES):
                self.ctx.raise_if_cancelled()
                digest.update(chunk)
                done += file.write(chunk)
                self.ctx.activity(f"downloading {url.rpartition('/')[2]}: {done // MIB}{of} MiB")
        if digest.hexdigest() != wanted:
            message = f"{url} is not what was published: its checksum differs."
            raise InstallError(
                "download-checksum", message, f"sha256 published {wanted}, downloaded {digest.hexdigest()}"
            )

    @contextmanager
    def _get(self, url: str) -> Iterator[urllib3.BaseHTTPResponse]:
        import urllib3

        timeout = urllib3.Timeout(connect=CONNECT_WITHIN_S, read=self.read_within_s)
        retries = urllib3.Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5)
        try:
            with _pool(url, self.environ) as pool:
                response = pool.request("GET", url, timeout=timeout, preload_content=False, retries=retries)
                try:
                    refuse_plain_hops(url, response.retries)
                    if response.status != 200:
                        message = f"{url} answers HTTP {response.status}."
                        raise InstallError("download-refused", message, retryable=True)
                    with self.ctx.on_cancel(lambda: _break_off(response)):
                        yield response
                finally:
                    response.close()
        except urllib3.exceptions.HTTPError as error:
            self.ctx.raise_if_cancelled()
            code, what = "download-unreachable", "cannot be reached"
            if isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.ReadTimeoutError):
                code, what = "download-broken", "broke off"
            raise InstallError(code, f"{url} {what}.", f"{type(error).__name__}: {error}", retryable=True) from error


def refuse_plain_hops(url: str, retries: urllib3.Retry | None) -> None:
    """Raise InstallError if an https URL was redirected over plain http: anybody on the way could have changed it."""
    hops = [str(hop.redirect_location) for hop in (retries.history if retries else ())]
    plain = next((hop for hop in hops if hop.startswith("http:")), "")
    if plain and url.startswith("https:"):
        raise InstallError("download-refused", f"{url} leads to {plain}, which is not encrypted.")


def _break_off(response: urllib3.BaseHTTPResponse) -> None:
    # From another thread: ends a read that waits, which closing would not.
    with contextlib.suppress(Exception):
        response.shutdown()


def _pool(url: str, environ: Mapping[str, str]) -> urllib3.PoolManager:
    """Return a pool that goes through the user's proxy, if one is set for the URL."""
    import urllib3

    def setting(name: str) -> str:
        return environ.get(name) or environ.get(name.upper()) or ""

    parts = urlsplit(url)
    host, proxy = parts.hostname or "", setting(f"{parts.scheme}_proxy")
    without = [name.strip() for name in setting("no_proxy").split(",") if name.strip()]
    direct = host.startswith("127.") or any(
        name == "*" or f".{host}".endswith(f".{name.lstrip('*.')}") for name in without
    )
    return urllib3.ProxyManager(proxy) if proxy and not direct else urllib3.PoolManager()
