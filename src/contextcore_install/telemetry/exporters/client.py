"""HTTP to a store on loopback, with a limit on the whole of every exchange.

http.client rather than urllib3: it knows no proxies and follows no redirects by itself, one kept connection
is all that is needed, and it takes a third of the time to import, which every run pays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError
from contextcore_install.system.http import TimedConnection

MOST_BYTES = 64 * 1024 * 1024


class FailureKind(StrEnum):
    """Why a store did not take or give what it was asked for."""

    NO_ANSWER = "does not answer"
    TOO_SLOW = "answers too slowly"
    BUSY = "cannot take it now"
    REFUSES = "refuses"


class StoreError(Exception):
    """A store that is of no use now. `retry_after_s` is what it asked for, 0 where it asked for nothing."""

    def __init__(self, trouble: FailureKind, evidence: str, *, hint: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(evidence)
        self.trouble = trouble
        self.evidence = evidence
        self.hint = hint
        self.retry_after_s = retry_after_s


def as_install_error(error: StoreError) -> InstallError:
    """Return the error for the user."""
    return InstallError(
        f"metrics-store-{error.trouble.name.lower().replace('_', '-')}",
        f"the metrics store {error.trouble}",
        evidence=error.evidence,
        hint=error.hint,
        retryable=error.trouble is not FailureKind.REFUSES,
    )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, and for the whole answer."""

    connect_s: float = 0.5
    answer_s: float = 2.0

    def within(self, seconds: float) -> Timeouts:
        """Return this patience cut to what is left of another limit."""
        left = max(0.05, seconds)
        return Timeouts(min(self.connect_s, left), min(self.answer_s, left))


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What a server said."""

    status: int
    body: bytes
    retry_after: str = ""

    @property
    def text(self) -> str:
        """The beginning of the body on one line, for people."""
        return " ".join(self.body[:2000].decode("utf-8", "replace").split())[:300]


class Client:
    """Talks to one server over one connection, which is kept. For one thread at a time.

    `is_theirs` is asked before each connection: what listens at the URL may by now be somebody else. `opened` counts
    them: over another connection, the server may be one that has been started anew.
    """

    def __init__(self, base_url: str, is_theirs: Callable[[], bool] = lambda: True) -> None:
        self.base_url = base_url.rstrip("/")
        self.is_theirs = is_theirs
        parts = urlsplit(self.base_url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._prefix = parts.path
        self.opened = 0
        self._connection: TimedConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        patience: Timeouts,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> StoreAnswer:
        """Return the answer whatever its status; raises StoreError when there is none in time."""
        end = time.monotonic() + patience.answer_s
        kept = self._connection is not None and self._connection.sock is not None
        try:
            try:
                return self._exchange(method, path, patience, end, body, headers or {})
            except (ConnectionError, HTTPException):
                self.close()
                if not kept:
                    raise
                # The server closed the kept connection meanwhile. All we send may be sent twice.
                return self._exchange(method, path, patience, end, body, headers or {})
        except TimeoutError as error:
            self.close()
            said = f"{method} {self.base_url}{path}: no full answer within {patience.answer_s:.1f} s"
            raise StoreError(FailureKind.TOO_SLOW, said) from error
        except (OSError, HTTPException) as error:
            self.close()
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StoreError(FailureKind.NO_ANSWER, f"{method} {self.base_url}{path}: {said}") from error

    def open(self, patience: Timeouts) -> None:
        """Connect, so that nothing is made for a server that is not there; raises StoreError."""
        if self._connection is None:
            try:
                self._connection = self._connect(patience)
            except TimeoutError as error:
                raise StoreError(FailureKind.TOO_SLOW, f"{self.base_url} takes no connection") from error
            except OSError as error:
                raise StoreError(FailureKind.NO_ANSWER, f"{self.base_url}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, patience: Timeouts, end: float, body: bytes | None, headers: dict[str, str]
    ) -> StoreAnswer:
        connection = self._connection
        if connection is None or connection.sock is None:  # never opened, or closed after the last answer
            connection = self._connection = self._connect(patience)
        target = self._prefix + path
        response, content = connection.exchange(method, target, end, MOST_BYTES, body=body, headers=headers)
        if not response.isclosed():  # longer than we take: the rest would be read as the next answer
            self.close()
        return StoreAnswer(response.status, content, response.getheader("Retry-After", "") or "")

    def _connect(self, patience: Timeouts) -> TimedConnection:
        if not self.is_theirs():
            raise StoreError(FailureKind.NO_ANSWER, f"what listens at {self.base_url}, if anything, is another program")
        connection = TimedConnection(self._host, self._port, timeout=patience.connect_s)
        connection.connect()
        self.opened += 1
        return connection
