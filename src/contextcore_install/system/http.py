"""HTTP to loopback: no proxy, no redirect, bounded in time and size, and errors that say what happened.

http.client rather than urllib3: it knows neither proxies nor redirects, and takes a fifth of the time to import, which
every run pays.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import HttpResponse

#: Bytes of an answer that are kept: enough for any readiness message, and for any document of an API.
KEEP_BYTES, KEEP_DOCUMENT_BYTES = 8_192, 1 << 20


class LoopbackHttp:
    """`core.interfaces.Http` for URLs of the form http://HOST:PORT/PATH. Stateless, so several threads may share it.

    Both methods raise InstallError, retryable: `http-refused` (nothing listens), `http-timeout` (no whole answer within
    `timeout_s` seconds), `http-reset` (the connection broke), `http-not-http` (something else answers).
    """

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        return _ask("GET", url, timeout_s, {}, b"", KEEP_BYTES)

    def ask(
        self, method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpResponse:
        return _ask(method, url, timeout_s, headers, body, KEEP_DOCUMENT_BYTES)


def _ask(method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes, keep: int) -> HttpResponse:
    host, _, path = url.removeprefix("http://").partition("/")
    connection, deadline = TimedConnection(host, timeout=timeout_s), time.monotonic() + timeout_s
    headers = {**headers, "Connection": "close"}
    try:
        response, content = connection.exchange(method, f"/{path}", deadline, keep, body=body or None, headers=headers)
        return HttpResponse(response.status, content.decode("utf-8", errors="replace"))
    except (OSError, HTTPException) as error:
        raise _failure(url, error, timeout_s) from error
    finally:
        connection.close()


class TimedConnection(HTTPConnection):
    """A connection whose exchanges each end by a deadline (of `time.monotonic`), the answer's head included."""

    sock: Any

    def connect(self) -> None:
        super().connect()
        self.sock = _TimedSocket(fileno=self.sock.detach())

    def exchange(
        self,
        method: str,
        target: str,
        deadline: float,
        keep: int,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str],
    ) -> tuple[HTTPResponse, bytes]:
        """Return the answer and its body, cut to `keep` bytes. Raises OSError (also TimeoutError) and HTTPException."""
        if self.sock is None:
            self.connect()
        self.sock.deadline = deadline
        self.sock.limit()
        self.request(method, target, body, headers)
        with self.getresponse() as response:
            content = response.read(keep)
            is_whole = response.isclosed()
        if not is_whole:  # longer than is kept: the rest would be read as the next answer
            self.close()
        return response, content


class SocketConnection(TimedConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = _TimedSocket(socket.AF_UNIX)
        self.sock.connect(self._path)


class _TimedSocket(socket.socket):
    """A socket that receives nothing after its deadline: the timeout alone starts again with every byte."""

    deadline = float("inf")

    def limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def recv_into(self, *arguments: Any) -> int:
        self.limit()
        return super().recv_into(*arguments)


def _failure(url: str, error: Exception, timeout_s: float) -> InstallError:
    code, message = "http-reset", f"The connection to {url} broke."
    if isinstance(error, ConnectionRefusedError):
        code, message = "http-refused", f"Nothing listens at {url}."
    elif isinstance(error, TimeoutError):
        code, message = "http-timeout", f"{url} did not answer within {timeout_s:g} s."
    # A connection that closes without a word is also a kind of bad status line.
    elif isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        code, message = "http-not-http", f"What listens at {url} does not speak HTTP."
    return InstallError(code, message, f"{type(error).__name__}: {error}", retryable=True)
