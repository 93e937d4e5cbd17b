"""Reading the cluster once for all who ask at the same time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers._kubectl import snapshot
from contextcore_install.providers._kubectl.client import Kubectl
from contextcore_install.providers._kubectl.render import Release
from contextcore_install.providers._kubectl.snapshot import Reader


class BusyOnce:
    """Stands for kubectl: the first read fails, the next ones do not."""

    def __init__(self) -> None:
        self.reads = 0

    def items(self, *_: str) -> list[dict[str, Any]]:
        self.reads += 1
        if self.reads == 1:
            raise InstallError("api-unreachable", "busy", retryable=True)
        return []


class NothingReleased:
    namespaces = ("observability",)
    objects = ()


def test_who_asks_after_a_read_that_failed_asks_anew() -> None:
    kubectl = BusyOnce()
    reader = Reader(cast("Kubectl", kubectl), lambda: cast("Release", NothingReleased()))
    with pytest.raises(InstallError, match="busy"):
        reader.read()
    assert list(reader.read().all()) == []
    assert kubectl.reads == 2
    reader.read()
    assert kubectl.reads == 2, "what was read is remembered for a moment"


def test_a_read_that_failed_is_shared_by_the_checks_that_waited_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubectl = BusyOnce()
    reader = Reader(cast("Kubectl", kubectl), lambda: cast("Release", NothingReleased()))
    first_asks_and_reads, second_asked_meanwhile = [1.0, 1.0, 5.0], [3.0, 5.0]
    instants = iter([*first_asks_and_reads, *second_asked_meanwhile])
    monkeypatch.setattr(snapshot, "time", SimpleNamespace(monotonic=lambda: next(instants)))
    for _ in range(2):
        with pytest.raises(InstallError, match="busy"):
            reader.read()
    assert kubectl.reads == 1
