"""One read for all that ask the same at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from contextcore_install.core.errors import InstallError

FRESH_S = 1.0  # a value counts for this long: as long as the checks of one run that follow on each other
Value = TypeVar("Value")


class TtlCache(Generic[Value]):
    """Reads, and remembers for a moment. Safe to use from several threads."""

    def __init__(
        self, ask: Callable[[], Value], fresh_s: float = FRESH_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._fresh_s, self._monotonic = ask, fresh_s, monotonic
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._found: list[Value] = []
        self._error: InstallError | None = None

    def read(self, *, fresh: bool = False) -> Value:
        """Return the value, asked for anew if it is old or `fresh`; raises the InstallError of asking."""
        asked_at = self._monotonic()
        with self._lock:
            # All that waited for one read share its failure; whoever asks after it asks anew.
            failed_before = self._error is not None and asked_at > self._read_at
            if fresh or failed_before or self._monotonic() - self._read_at > self._fresh_s:
                self._error = None
                try:
                    self._found = [self._ask()]
                except InstallError as error:
                    self._error = error
                self._read_at = self._monotonic()
            if self._error is not None:
                raise self._error
            return self._found[0]

    def put(self, value: Value) -> None:
        """Remember a value that came otherwise."""
        with self._lock:
            self._found, self._error, self._read_at = [value], None, self._monotonic()

    def forget(self) -> None:
        """Have the next read ask anew, as something was changed."""
        with self._lock:
            self._read_at = float("-inf")
