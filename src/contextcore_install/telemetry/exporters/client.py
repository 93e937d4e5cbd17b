"""The HTTP client of all exporters, and what a store's answers mean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from contextcore_install.core.dataclass import dataclass
from contextcore_install.system.http import TimedConnection
from contextcore_install.telemetry.failures import FailureKind, StoreError, Timeouts

MOST_BYTES = 64 * 1024 * 1024
_LONGEST_RETRY_AFTER_S = 1e7  # some months
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What a store said."""

    status: int
    body: bytes
    retry_after: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The beginning of the body on one line, for people."""
        return " ".join(self.body[:2000].decode("utf-8", "replace").split())[:300]

    def failure(self, what: str) -> StoreError:
        """Return what an answer that is no success means: retry 429 and 5xx, and nothing else."""
        evidence = f"{what}: HTTP {self.status} {self.text}".rstrip()
        if self.status == 429 or self.status >= 500:
            return StoreError(FailureKind.BUSY, evidence, retry_after_s=_retry_after_s(self.retry_after))
        return StoreError(FailureKind.REFUSES, evidence)

    def not_understood(self, what: str, wanted: str) -> StoreError:
        return StoreError(FailureKind.REFUSES, f"{what}: no {wanted}, but {self.text}")

    def document(self, what: str, wanted: str) -> dict[str, Any]:
        """Return the JSON object that the answer is; raises StoreError, which says what was wanted."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self.not_understood(what, wanted)
        return document


def _retry_after_s(header: str) -> float:
    """Return seconds from a Retry-After header (RFC 9110, 10.2.3); 0 if it says nothing."""
    try:
        decimal = header.strip().isdecimal()
        seconds = float(header) if decimal else (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(_LONGEST_RETRY_AFTER_S, max(0.0, seconds))


class Client:
    """Talks to one server over one connection, which is kept. For one thread at a time.

    `timeouts` is asked before each request. `is_theirs` is asked before each connection: what listens at the URL may by
    now be somebody else. `opened` counts the connections: over another one, the server may be one that was restarted.
    """

    def __init__(
        self, base_url: str, timeouts: Callable[[], Timeouts] = Timeouts, is_theirs: Callable[[], bool] = lambda: True
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeouts, self.is_theirs = timeouts, is_theirs
        self.opened = 0
        self._connection: TimedConnection | None = None

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> StoreAnswer:
        """Return the answer whatever its status; raises StoreError when there is none in time."""
        timeouts, target = self.timeouts(), urlsplit(self.base_url).path + path
        deadline = time.monotonic() + timeouts.answer_s

        def exchange() -> StoreAnswer:
            connection = self._connected(timeouts)
            response, content = connection.exchange(method, target, deadline, MOST_BYTES, body=body, headers=headers)
            return StoreAnswer(response.status, content, response.getheader("Retry-After", ""))

        kept = self._connection is not None and self._connection.sock is not None
        try:
            try:
                return exchange()
            except (ConnectionError, HTTPException):
                self.close()
                if not kept:
                    raise
                return exchange()  # the server closed the kept connection meanwhile; all we send may be sent twice
        except (OSError, HTTPException) as error:
            self.close()
            late = f"no full answer within {timeouts.answer_s:.1f} s"
            raise _store_error(error, f"{method} {self.base_url}{path}: ", late) from error

    def open(self) -> None:
        """Connect, so that nothing is made for a server that is not there; raises StoreError."""
        try:
            self._connected(self.timeouts())
        except OSError as error:
            raise _store_error(error, f"{self.base_url}: ", "takes no connection") from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, timeouts: Timeouts) -> TimedConnection:
        """Return the connection; another one if the server has closed it after the last answer."""
        if self._connection is None or self._connection.sock is None:
            if not self.is_theirs():
                said = f"what listens at {self.base_url}, if anything, is another program"
                raise StoreError(FailureKind.NO_ANSWER, said)
            parts = urlsplit(self.base_url)
            connection = TimedConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeouts.connect_s)
            connection.connect()
            self.opened += 1
            self._connection = connection
        return self._connection


def _store_error(error: Exception, what: str, late: str) -> StoreError:
    if isinstance(error, TimeoutError):
        return StoreError(FailureKind.TOO_SLOW, f"{what}{late}")
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(FailureKind.NO_ANSWER, f"{what}{said}")
