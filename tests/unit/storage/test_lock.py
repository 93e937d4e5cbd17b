"""One run at a time a cluster."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.storage.lock import Lock
from contextcore_install.system.lock import owner_of

HOLD = """
import sys, time
from pathlib import Path
from contextcore_install.storage.lock import Lock
lock = Lock(Path(sys.argv[1]), {"pid": 4711, "host": "there", "since": "noon", "command": "install"})
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock", {"pid": 1, "host": "here", "since": "now", "command": "resume"})
    with pytest.raises(InstallError, match="process 1 on here, since now") as refused:
        Lock(tmp_path / "lock", {})
    assert refused.value.exit_code is ExitCode.LOCKED
    assert (owner_of(tmp_path / "lock") or {})["command"] == "resume"
    lock.release()
    assert owner_of(tmp_path / "lock") is None
    Lock(tmp_path / "lock", {}).release()


def test_a_dead_owner_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(InstallError, match="process 4711 on there"):
            Lock(path, {})
        owner.kill()
    Lock(path, {}).release()


def test_looking_at_a_lock_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    Lock(path, {}).release()
    for _ in range(20):
        assert owner_of(path) is None
        Lock(path, {}).release()


def test_a_lock_on_a_file_that_was_removed_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock(path, {"pid": 1})
    path.unlink()
    second = Lock(path, {"pid": 2})
    first.release()
    assert (owner_of(path) or {})["pid"] == 2
    second.release()


def test_a_lock_file_with_nonsense_is_a_lock_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"\xff\x00nonsense")
    Lock(path, {"pid": 3}).release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_the_file_system_knows_no_locks_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "lock"
    Lock(path, {}).release()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InstallError, match="lock cannot be used") as refused:
        Lock(path, {})
    assert (refused.value.exit_code, "CONTEXTCORE_HOME" in refused.value.hint) == (4, True)
    assert owner_of(path) is None
