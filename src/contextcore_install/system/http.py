"""HTTP to loopback: no proxy, no redirect, bounded in time and size, and errors that say what happened.

http.client rather than urllib3: it knows neither proxies nor redirects, and takes a fifth of the time to import, which
every run pays.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from functools import partial
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import HttpResponse
from contextcore_install.system.bounded import bounded

#: Bytes of an answer that are kept: enough for any readiness message, and for any document of an API.
KEEP_BYTES, KEEP_DOCUMENT_BYTES = 8_192, 1 << 20

REFUSED, TIMEOUT, RESET, NOT_HTTP = "http-refused", "http-timeout", "http-reset", "http-not-http"


class LoopbackHttp:
    """`core.ports.Http`. It keeps nothing between two questions, so several threads may ask at once."""

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        """Return the answer whatever its status, its text cut to `KEEP_BYTES`. `url` is http://HOST:PORT/PATH.

        Raises InstallError, retryable: `http-refused` (nothing listens), `http-timeout` (no whole answer within
        `timeout_s` seconds), `http-reset` (the connection broke), `http-not-http` (something else answers).
        """
        return _exchange("GET", url, timeout_s, {}, b"", KEEP_BYTES)

    def ask(
        self, method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpResponse:
        """Return the answer whatever its status, its text cut to `KEEP_DOCUMENT_BYTES`; else as `get`."""
        return _exchange(method, url, timeout_s, headers, body, KEEP_DOCUMENT_BYTES)


def _exchange(
    method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes, keep: int
) -> HttpResponse:
    host, _, path = url.removeprefix("http://").partition("/")
    deadline = time.monotonic() + timeout_s
    connection = HTTPConnection(host, timeout=timeout_s)
    connection.response_class = partial(_Response, deadline)  # type: ignore[assignment]
    try:
        connection.request(method, f"/{path}", body=body or None, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        text = _read(response, keep).decode("utf-8", errors="replace")
        return HttpResponse(response.status, text)
    except (OSError, HTTPException) as error:
        raise explain(url, error, timeout_s) from error
    finally:
        connection.close()


class _Response(HTTPResponse):
    """An answer that is there in time, its head too: a server that sends a byte a second must not hold us."""

    def __init__(self, deadline: float, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)

        def limit() -> None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)

        self.fp = bounded(self.fp, limit)


def _read(response: HTTPResponse, keep: int) -> bytes:
    """Read what fits."""
    text = b""
    with response:
        while len(text) < keep:
            chunk = response.read1(keep - len(text))
            if not chunk:
                break
            text += chunk
    return text


def explain(url: str, error: Exception, timeout_s: float) -> InstallError:
    """Return the error for a request that got no answer."""
    evidence = f"{type(error).__name__}: {error}"
    if isinstance(error, ConnectionRefusedError):
        return InstallError(REFUSED, f"Nothing listens at {url}.", evidence, retryable=True)
    if isinstance(error, TimeoutError):
        return InstallError(TIMEOUT, f"{url} did not answer within {timeout_s:g} s.", evidence, retryable=True)
    # A connection that closes without a word is also a kind of bad status line.
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return InstallError(NOT_HTTP, f"What listens at {url} does not speak HTTP.", evidence, retryable=True)
    return InstallError(RESET, f"The connection to {url} broke.", evidence, retryable=True)
