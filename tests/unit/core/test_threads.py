from __future__ import annotations

import threading
import time

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.threads import once, run_concurrently


def test_what_takes_too_long_is_left_behind() -> None:
    end = threading.Event()
    began = time.monotonic()
    found = run_concurrently({"slow": lambda: end.wait(60), "quick": lambda: True}, 0.3)
    assert time.monotonic() - began < 30
    end.set()
    assert found["quick"] is True
    assert isinstance(found["slow"], InstallError)
    assert found["slow"].code == "too-slow"


def test_what_is_done_once_is_the_same_for_all_who_ask() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise InstallError("api-down", "the cluster does not answer")

    ask = once(fail)
    for _ in range(3):
        with pytest.raises(InstallError):
            ask()
    assert len(calls) == 1
