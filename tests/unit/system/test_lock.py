"""A lock on a file: held by one, noted in the file, and kept by a child that inherits it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from contextcore_install.system.lock import acquire, owner_of


class HeldError(Exception):
    """Raised instead of waiting."""


def refuse() -> None:
    raise HeldError


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert owner_of(path) is None
    first = acquire(path, refuse, {"pid": 1})
    with pytest.raises(HeldError):
        acquire(path, refuse)
    assert owner_of(path) == {"pid": 1}
    os.close(first)
    assert owner_of(path) is None
    os.close(acquire(path, refuse))


def test_whoever_waits_gets_the_lock_when_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, waits = acquire(path, refuse), list[int]()

    def wait() -> None:
        waits.append(1)
        os.close(first)

    os.close(acquire(path, wait))
    assert waits == [1]


def test_a_child_that_inherits_a_lock_holds_it_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = acquire(path, refuse)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor]) as child:
        os.close(descriptor)
        with pytest.raises(HeldError):
            acquire(path, refuse)
        child.communicate()
    os.close(acquire(path, refuse))


def test_a_lock_on_a_file_that_was_removed_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = acquire(path, refuse, {"pid": 1})
    path.unlink()
    second = acquire(path, refuse, {"pid": 2})
    os.close(first)
    assert owner_of(path) == {"pid": 2}
    os.close(second)


def test_what_is_not_a_regular_file_is_refused_and_a_damaged_note_names_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        acquire(tmp_path / "fifo", refuse)
    assert owner_of(tmp_path / "fifo") is None
    path = tmp_path / "lock"
    descriptor = acquire(path, refuse)
    for text in ("", "nonsense", "[]", "[" * 100_000):
        path.write_text(text)
        assert owner_of(path) == {}
    os.close(descriptor)
