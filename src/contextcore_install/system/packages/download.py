"""Downloads a pinned release and checks it against its published sha256."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext

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
        """Return the URL of the file for a platform."""
        return f"{self.base_url}/{self.file.format(version=self.version, system=system, machine=machine)}"


def download_checked(
    ctx: StepContext, release: PinnedDownload, system: str, machine: str, target: Path, environ: Mapping[str, str]
) -> None:
    """Download a release to `target`; raises InstallError for anything but the published bytes.

    Codes: `download-unreachable`, `download-refused` (HTTP status), `download-broken` (cut off or too slow),
    `download-checksum`, `download-unwritable`. After an error, or CancelledError, there is no `target`.
    """
    url = release.url(system, machine)
    wanted = _published_sum(ctx, url + release.checksum_suffix, release, environ)
    try:
        actual = _fetch(ctx, url, release, target, environ)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise InstallError("download-unwritable", f"{target} cannot be written: {error.strerror}.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if actual != wanted:
        target.unlink()
        raise InstallError(
            "download-checksum",
            f"{url} is not what was published: its checksum differs.",
            evidence=f"sha256 published {wanted}, downloaded {actual}",
        )


def _published_sum(ctx: StepContext, url: str, release: PinnedDownload, environ: Mapping[str, str]) -> str:
    with _response(ctx, url, release, environ) as response:
        text = response.read(4096).decode("ascii", errors="replace")
    found = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
    if not found:
        raise InstallError("download-checksum", f"{url} holds no sha256.", evidence=text[:200])
    return found.group(1).lower()


def _fetch(ctx: StepContext, url: str, release: PinnedDownload, target: Path, environ: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    with _response(ctx, url, release, environ) as response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length", "0") or 0)
        done = 0
        while chunk := response.read(CHUNK_BYTES):
            ctx.raise_if_cancelled()
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
            of = f" of {total // MIB}" if total else ""
            ctx.activity(f"downloading {url.rpartition('/')[2]}: {done // MIB}{of} MiB")
    return digest.hexdigest()


@contextmanager
def _response(
    ctx: StepContext, url: str, release: PinnedDownload, environ: Mapping[str, str]
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Yield a 200 answer, which breaks off when the step is to end."""
    import urllib3

    timeout = urllib3.Timeout(connect=CONNECT_WITHIN_S, read=release.read_within_s)
    pool = _pool(url, environ)
    try:
        with pool:
            response = pool.request("GET", url, timeout=timeout, preload_content=False, retries=_redirects())
            try:
                _refuse_plain_hops(url, response.retries)
                if response.status != 200:
                    said = f"{url} answers HTTP {response.status}."
                    raise InstallError("download-refused", said, retryable=True)
                with ctx.on_cancel(lambda: _break_off(response)):
                    yield response
            finally:
                response.close()
    except urllib3.exceptions.HTTPError as error:
        ctx.raise_if_cancelled()
        reached = isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.ReadTimeoutError)
        code = "download-broken" if reached else "download-unreachable"
        what = "broke off" if reached else "cannot be reached"
        raise InstallError(code, f"{url} {what}.", f"{type(error).__name__}: {error}", retryable=True) from error


def _refuse_plain_hops(url: str, retries: urllib3.Retry | None) -> None:
    """Raise InstallError where the way from an https URL led over plain http: anybody there could have changed it."""
    hops = [str(hop.redirect_location) for hop in (retries.history if retries else ())]
    plain = next((hop for hop in hops if hop.startswith("http:")), "")
    if plain and url.startswith("https:"):
        raise InstallError("download-refused", f"{url} leads to {plain}, which is not encrypted.")


def _break_off(response: urllib3.BaseHTTPResponse) -> None:
    # From another thread: ends a read that waits, which closing would not.
    with contextlib.suppress(Exception):
        response.shutdown()


def _redirects() -> urllib3.Retry:
    import urllib3

    return urllib3.Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5)


def _pool(url: str, environ: Mapping[str, str]) -> urllib3.PoolManager:
    """Return a pool that goes through the user's proxy, where one is set for the URL."""
    import urllib3

    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition(":")[0] or rest.partition("/")[0]
    proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
    without = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    direct = host.startswith("127.") or any(
        name.strip() == "*" or (name.strip() and host.endswith(name.strip().lstrip("*"))) for name in without
    )
    if proxy and not direct:
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
