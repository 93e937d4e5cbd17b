"""A disk that loses power: ends this process at a chosen moment and takes back what was not yet synced.

What a journaling file system may lose at a power cut (see "All File Systems Are Not Created Equal", OSDI 2014): bytes
that were written and not synced, from their end; a rename, or a new name, whose folder was not synced; and, where the
rename is there, the bytes of a file that was not synced before it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from contextcore_install.core.dataclass import dataclass, field

BOUNDARIES = (
    "open",
    "write",
    "fsync",
    "fdatasync",
    "replace",
    "rename",
    "truncate",
    "ftruncate",
    "unlink",
    "mkdir",
    "symlink",
)
"""Calls of `os` around which the power may fail: before, and after."""


class Loss(StrEnum):
    """What becomes of what was not synced."""

    KEPT = "kept"
    """Nothing is lost: the process was killed, and the machine lives."""
    DROPPED = "dropped"
    TORN = "torn"


@dataclass
class PowerCut:
    """Counts the boundaries in a folder, and cuts the power at the one with the number `at` (from 1; 0 for never)."""

    folder: Path
    at: int = 0
    loss: Loss = Loss.KEPT
    draw: random.Random = field(default_factory=random.Random)
    passed: int = 0
    _paths: dict[int, str] = field(default_factory=dict)
    _synced: dict[str, int] = field(default_factory=dict)
    """How many bytes of a file, by its path, survive."""
    _before: dict[str, bytes | str | None] = field(default_factory=dict)
    """What a name stood for (bytes, a link's target, nothing) before changes that its folder does not hold yet."""
    _renamed: dict[str, tuple[str, bytes | str | None]] = field(default_factory=dict)
    """By the new name, the old one and its content, as long as the folder does not hold the change."""
    _real: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _one_at_a_time: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def plugged_in(self) -> Iterator[PowerCut]:
        """Within the block, stand between the program and its disk."""
        self._real = {name: getattr(os, name) for name in BOUNDARIES}
        standing_in = {name: self._around(name) for name in BOUNDARIES}
        with ExitStack() as stack:
            for name, call in standing_in.items():
                stack.enter_context(patch.object(os, name, call))
            yield self

    def _around(self, name: str) -> Callable[..., Any]:
        real, note = self._real[name], getattr(self, f"_{name}", None)

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._concerns(name, args):
                return real(*args, **kwargs)
            with self._one_at_a_time:  # else another thread goes on while the power fails
                return passing(*args, **kwargs)

        def passing(*args: Any, **kwargs: Any) -> Any:
            if name in ("replace", "rename", "symlink", "unlink"):
                self._remember(args)
            if name == "rename":
                self._renamed[str(args[1])] = (str(args[0]), _content(str(args[0])))
            self._boundary()
            done = real(*args, **kwargs)
            if note:
                note(done, *args)
            self._boundary()
            return done

        return call

    def _concerns(self, name: str, args: tuple[Any, ...]) -> bool:
        if isinstance(args[0], int):
            return args[0] in self._paths
        inside = str(args[-1] if name == "symlink" else args[0]).startswith(str(self.folder))
        return inside and "/effects" not in str(args[0])

    def _boundary(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            self._lose()
            os.kill(os.getpid(), signal.SIGKILL)

    # What the calls mean for what survives

    def _open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        name = str(path)
        self._paths[descriptor] = name
        if flags & os.O_CREAT and name not in self._synced:
            self._synced[name] = _size(name)
            if not self._synced[name]:
                self._before.setdefault(name, None)

    def _fsync(self, _: None, descriptor: int) -> None:
        name = self._paths[descriptor]
        if Path(name).is_dir():
            for path in [path for path in self._before if str(Path(path).parent) == name]:
                del self._before[path]
                self._renamed.pop(path, None)
        else:
            self._synced[name] = _size(name)

    _fdatasync = _fsync

    def _replace(self, _: None, source: Any, target: Any) -> None:
        self._synced[str(target)] = self._synced.pop(str(source), _size(str(target)))
        self._before.pop(str(source), None)

    _rename = _replace

    def _remember(self, args: tuple[Any, ...]) -> None:
        name = str(args[-1])
        if name not in self._before:
            self._before[name] = _content(name)

    # The power goes

    def _lose(self) -> None:
        if self.loss is Loss.KEPT:
            return
        for name, size in self._synced.items():
            if _size(name) > size:
                keep = size if self.loss is Loss.DROPPED else self.draw.randint(size, _size(name))
                self._real["truncate"](name, keep)
        if self.loss is Loss.DROPPED:
            for name, content in self._before.items():
                self._put_back(name, content)
            for name, content in self._renamed.values():
                self._put_back(name, content)

    def _put_back(self, name: str, content: bytes | str | None) -> None:
        if Path(name).is_symlink() or Path(name).is_file():
            self._real["unlink"](name)
        if isinstance(content, bytes):
            descriptor = self._real["open"](name, os.O_WRONLY | os.O_CREAT, 0o600)
            self._real["write"](descriptor, content)
            os.close(descriptor)
        elif isinstance(content, str):
            self._real["symlink"](content, name)


def _size(name: str) -> int:
    path = Path(name)
    return path.stat().st_size if path.is_file() else 0


def _content(name: str) -> bytes | str | None:
    path = Path(name)
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else None
