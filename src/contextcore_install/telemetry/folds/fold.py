"""What all folds of the events have in common: one for each sort of backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar

from contextcore_install.core.events import Event

Item = TypeVar("Item")


class SnapshotError(ValueError):
    """A snapshot that this version of a fold cannot continue from."""


class Fold(Protocol[Item]):
    """Makes items to send of events taken in order; the same events always give the same items.

    A snapshot is a JSON document from which `restore` continues after the last event taken; raises SnapshotError.
    """

    def __init__(self, cluster: str) -> None: ...
    def take(self, event: Event) -> list[Item]: ...
    def snapshot(self) -> dict[str, Any]: ...
    @classmethod
    def restore(cls, cluster: str, snapshot: Mapping[str, Any]) -> Self: ...


@contextmanager
def restoring(snapshot: Mapping[str, Any], version: int) -> Iterator[None]:
    """Within the block, turn what a snapshot that is none makes go wrong into SnapshotError."""
    if snapshot.get("version") != version:
        raise SnapshotError("another version")
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(str(error)) from error
