"""A disk that refuses: at a chosen call that writes, once or from then on, the system answers with an error.

Which calls give which error is what Linux documents for them (man 2 open, write, fsync, rename, close): a disk or a
quota that is full takes nothing new, one that was mounted anew as read-only takes nothing at all, and a process without
free descriptors cannot open anything. A full disk may take some bytes of a write before it says so.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from contextcore_install.core.dataclass import dataclass, field

_READS = "open to read"
_MAKES = frozenset({"open", "mkdir", "symlink"})
_MOVES = frozenset({"replace", "rename", "link"})
_FILLS = frozenset({"write", "fsync", "fdatasync", "close"})
_TAKES = frozenset({"truncate", "ftruncate", "unlink", "rmdir"})

FAULTS = {
    errno.ENOSPC: _MAKES | _MOVES | _FILLS,
    errno.EDQUOT: _MAKES | _MOVES | _FILLS,
    errno.EROFS: (_MAKES | _MOVES | _FILLS | _TAKES) - {"close"},
    errno.EIO: _MAKES | _MOVES | _FILLS | _TAKES | {_READS},
    errno.EMFILE: frozenset({"open", _READS}),
}
"""An error, and the calls of `os` that answer with it."""

ALL = errno.EIO
"""The error that every watched call may answer with."""

_CALLS = _MAKES | _MOVES | _FILLS | _TAKES
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class FaultyDisk:
    """Counts the calls in a folder that may give an error, and refuses that with the number `at` (from 1; 0 for never).

    With `lasting`, all that come after it are refused as well. `called` names the calls that were counted, in order.
    """

    folder: Path
    error: int
    at: int = 0
    lasting: bool = False
    called: list[str] = field(default_factory=list)
    safe: dict[str, int] = field(default_factory=dict)
    """How many bytes of a file were synced: what the program may rely on."""
    _paths: dict[int, str] = field(default_factory=dict)
    _real: dict[str, Callable[..., Any]] = field(default_factory=dict)

    @contextmanager
    def plugged_in(self) -> Iterator[FaultyDisk]:
        """Within the block, stand between the program and its disk."""
        self._real = {name: getattr(os, name) for name in _CALLS}
        standing_in = {name: self._around(name) for name in _CALLS}
        with ExitStack() as stack:
            for name, call in standing_in.items():
                stack.enter_context(patch.object(os, name, call))
            stack.enter_context(patch.object(os, "fdopen", self._fdopen(os.fdopen)))
            yield self

    def _around(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._concerns(name, args):
                return real(*args, **kwargs)
            if self._refuses(_READS if name == "open" and not args[1] & _WRITING else name):
                self._do_in_part(name, args)
                raise OSError(self.error, os.strerror(self.error), str(args[0]))
            done = real(*args, **kwargs)
            self._note(name, done, args)
            return done

        return call

    def _concerns(self, name: str, args: tuple[Any, ...]) -> bool:
        if isinstance(args[0], int):
            return args[0] in self._paths
        return str(args[-1] if name == "symlink" else args[0]).startswith(str(self.folder))

    def _refuses(self, name: str) -> bool:
        if name not in FAULTS[self.error]:
            return False
        self.called.append(name)
        number = len(self.called)
        return number == self.at or bool(self.lasting and self.at and number > self.at)

    def _do_in_part(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "close":
            self._paths.pop(args[0], None)
            self._real["close"](args[0])
        elif name == "write" and self.error in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            self._real["write"](args[0], bytes(args[1])[: len(args[1]) // 2])

    def _note(self, name: str, done: Any, args: tuple[Any, ...]) -> None:
        if name == "open" and args[1] & _WRITING:
            self._paths[done] = str(args[0])
        elif name == "close":
            self._paths.pop(args[0], None)
        elif name in ("fsync", "fdatasync"):
            self.safe[self._paths[args[0]]] = os.fstat(args[0]).st_size

    def _fdopen(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def fdopen(descriptor: int, mode: str = "r", **options: Any) -> Any:
            if descriptor not in self._paths or "w" not in mode or "b" in mode:
                return real(descriptor, mode, **options)
            options.pop("buffering", None)
            return io.TextIOWrapper(io.BufferedWriter(_Raw(descriptor)), line_buffering=True, **options)

        return fdopen


class _Raw(io.RawIOBase):
    """A file whose writes go through `os`, where they can be refused."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        return os.write(self._descriptor, bytes(content))

    def close(self) -> None:
        if not self.closed:
            super().close()
            with suppress(OSError):
                os.close(self._descriptor)
