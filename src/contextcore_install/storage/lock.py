"""One run at a time a cluster: a lock that ends with its owner, and says who that is."""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from contextcore_install.core.errors import ExitCode, InstallError, own
from contextcore_install.storage.files import unusable
from contextcore_install.system.lock import acquire, owner_of

PATIENCE_S = 0.3
"""How long to try: another process that looks who holds the lock holds it for an instant."""


class Lock:
    """An flock on a file that holds its owner's description. Released on close and on death."""

    def __init__(self, path: Path, owner: Mapping[str, Any] | None, patience_s: float = PATIENCE_S) -> None:
        """Take the lock; raises InstallError (exit code 5) with the owner if it is held, 4 if none can be."""
        deadline = time.monotonic() + patience_s

        def wait() -> None:
            if time.monotonic() > deadline:
                raise _held(path)
            time.sleep(0.02)

        try:
            self._descriptor = acquire(path, wait, owner)
        except OSError as error:
            refused = unusable(path, error)
            if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                refused.hint = f"move it away: {shlex.join(['mv', str(path), f'{path}.aside'])}"
            raise refused from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        with suppress(OSError):  # some disks report a failed write here; the lock is released all the same
            os.close(self._descriptor)


def hold_briefly(path: Path, limit_s: float) -> AbstractContextManager[object]:
    """Return a lock that is held for a block, or none if it is not free within so many seconds. Raises InstallError."""
    try:
        return Lock(path, None, limit_s)
    except InstallError as error:
        if error.code != "locked":
            raise
        return nullcontext()


def _held(path: Path) -> InstallError:
    owner = owner_of(path) or {}
    who = f"process {owner.get('pid', '?')} on {owner.get('host', 'this machine')}, since {owner.get('since', '?')}"
    message, hint = f"another run is at work on this cluster: {who}", f"watch it: {own('--attach')}"
    return InstallError("locked", message, str(owner.get("command", "")), hint, exit_code=ExitCode.LOCKED)
