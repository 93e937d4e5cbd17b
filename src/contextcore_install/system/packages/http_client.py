"""Asks servers for files: through the user's proxy, broken off with the step, and errors say what was wrong."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext

if TYPE_CHECKING:
    import urllib3

BUSY = frozenset({429, 503})
LONGEST_WAIT_S = 30.0
"""For as long a busy server is waited for, if it says for how long."""
_MEANINGS: Mapping[int, str] = {
    401: "it wants credentials, which a mirror's are taken from ~/.netrc for",
    403: "it refuses this file",
    404: "there is no such file",
    407: "the proxy wants credentials",
    429: "too many requests",
    503: "it is busy",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, to wait for the next piece, and between two tries; how many in a row may bring nothing.

    A laptop that wakes up needs some seconds to find its network again.
    """

    connect_s: float = 10.0
    read_s: float = 20.0
    pause_s: float = 3.0
    tries: int = 5


@dataclass(frozen=True, slots=True)
class Client:
    """`mirror` is the URL whose host gets the credentials that ~/.netrc has for it."""

    environ: Mapping[str, str]
    limits: Limits
    mirror: str = ""

    @contextmanager
    def get(self, ctx: StepContext, url: str, start: int = 0) -> Iterator[urllib3.BaseHTTPResponse]:
        """Give the answer for a file, from the byte `start` on: with status 200, or 206 or 416 if `start` is not 0.

        Raises InstallError `download-unreachable`, `download-missing`, `download-refused`, `download-broken`.
        """
        import urllib3

        try:
            with _pool(url, self.environ) as pool:
                response = self._answer(ctx, pool, url, start)
                try:
                    refuse_plain_hops(url, response.retries)
                    _refuse_other_than_files(url, response, {200, 206, 416} if start else {200})
                    with ctx.on_cancel(lambda: _break_off(response)):
                        yield response
                finally:
                    response.close()
        except urllib3.exceptions.HTTPError as error:
            ctx.raise_if_cancelled()
            code, what = "download-unreachable", "cannot be reached"
            if isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.ReadTimeoutError):
                code, what = "download-broken", "broke off"
            elif "CERTIFICATE_VERIFY_FAILED" in str(error):
                what = "shows a certificate that this machine does not trust"
            raise InstallError(code, f"{url} {what}.", _cause(error), retryable=True) from error

    def _answer(self, ctx: StepContext, pool: urllib3.PoolManager, url: str, start: int) -> urllib3.BaseHTTPResponse:
        """Return the answer; a busy server that says for how long is waited for."""
        import urllib3

        timeout = urllib3.Timeout(connect=self.limits.connect_s, read=self.limits.read_s)
        retries = urllib3.Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5, raise_on_status=False)
        headers = {"Accept-Encoding": "identity", **self._credentials(url)}
        if start:
            headers["Range"] = f"bytes={start}-"
        tries = self.limits.tries
        while True:
            response = pool.request(
                "GET", url, headers=headers, timeout=timeout, preload_content=False, retries=retries
            )
            tries, wait_s = tries - 1, _asks_to_wait(response)
            if not tries or response.status not in BUSY or not 0 < wait_s <= LONGEST_WAIT_S:
                return response
            response.close()
            ctx.activity(f"{urlsplit(url).hostname} is busy; asking again in {wait_s:.0f} s")
            ctx.wait(wait_s)

    def _credentials(self, url: str) -> Mapping[str, str]:
        """Return the header with what ~/.netrc (or NETRC) has for the mirror, which must be encrypted."""
        if not self.mirror or not url.startswith("https:"):
            return {}
        import netrc

        import urllib3

        path = self.environ.get("NETRC") or f"{self.environ.get('HOME', '')}/.netrc"
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if found := netrc.netrc(path).authenticators(urlsplit(url).hostname or ""):
                return urllib3.make_headers(basic_auth=f"{found[0]}:{found[2]}")
        return {}


def _cause(error: Exception) -> str:
    """Return what went wrong at the bottom, without the names of urllib3's objects."""
    cause = getattr(error, "reason", None) or error
    if isinstance(inner := cause.args[-1] if cause.args else None, Exception):
        cause = inner  # it is in the other's text as well
    name, text = type(cause).__name__, re.sub(r"^<?[A-Za-z.]*Connection.*?: ", "", str(cause))
    return text if text.startswith(name) else f"{name}: {text}"


def _refuse_other_than_files(url: str, response: urllib3.BaseHTTPResponse, statuses: set[int]) -> None:
    status = response.status
    if status not in statuses:
        meaning = f": {_MEANINGS[status]}" if status in _MEANINGS else ""
        wait_s = _asks_to_wait(response)
        later = f"; it asks to come back in {wait_s:.0f} s" if status in BUSY and wait_s else ""
        message = f"{url} answers HTTP {status}{meaning}{later}."
        code = "download-missing" if status in {404, 410} else "download-refused"
        raise InstallError(code, message, retryable=status in BUSY or status >= 500)
    if status < 300 and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        message = f"{url} answers with a web page instead of the file: a proxy or a sign-in page stands in between."
        raise InstallError("download-refused", message)


def _asks_to_wait(response: urllib3.BaseHTTPResponse) -> float:
    """Return for how many seconds a server asks to be left alone (RFC 9110, section 10.2.3); 0 if it does not."""
    import urllib3

    with contextlib.suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return float(urllib3.Retry().get_retry_after(response) or 0)
    return 0.0


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
