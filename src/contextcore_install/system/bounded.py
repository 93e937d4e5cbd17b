"""Reading what comes byte by byte within one limit."""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedReader, RawIOBase
from typing import Any


class _Bounded(RawIOBase):
    def __init__(self, raw: Any, before: Callable[[], None]) -> None:
        self._raw = raw
        self._before = before

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._before()
        taken: int | None = self._raw.readinto(buffer)
        return taken

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


def bounded(file: BufferedReader, before: Callable[[], None]) -> BufferedReader:
    """Return a socket's file, before each read of which `before` is called, to set or raise what is left of a limit.

    A socket's own limit counts for every read anew, so that an answer of a byte a second would never end.
    """
    return BufferedReader(_Bounded(file.detach(), before))
