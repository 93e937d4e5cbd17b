"""Reading once for all who ask at the same time."""

from __future__ import annotations

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ttl_cache import TtlCache


class BusyOnce:
    """What is read: the first read fails, the next ones do not."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        if self.reads == 1:
            raise InstallError("api-unreachable", "busy", retryable=True)
        return self.reads


def test_who_asks_after_a_read_that_failed_asks_anew() -> None:
    asked = BusyOnce()
    shared = TtlCache(asked)
    with pytest.raises(InstallError, match="busy"):
        shared.read()
    assert shared.read() == 2
    assert shared.read() == 2, "what was read is remembered for a moment"
    assert shared.read(fresh=True) == 3
    shared.forget()
    assert shared.read() == 4


def test_a_read_that_failed_is_shared_by_the_checks_that_waited_for_it() -> None:
    asked = BusyOnce()
    first_asks_and_reads, second_asked_meanwhile = [1.0, 1.0, 5.0], [3.0, 5.0]
    instants = iter([*first_asks_and_reads, *second_asked_meanwhile])
    shared = TtlCache(asked, monotonic=lambda: next(instants))
    for _ in range(2):
        with pytest.raises(InstallError, match="busy"):
            shared.read()
    assert asked.reads == 1
