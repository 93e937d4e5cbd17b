"""What is made of the events to be sent: one fold for each sort of backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from contextcore_install.core.events import Event

Item = TypeVar("Item")


class SnapshotError(ValueError):
    """A snapshot that this version of a fold cannot continue from."""


class Fold(Protocol[Item]):
    """Makes things to send of events taken in order; the same events always give the same things."""

    def __init__(self, cluster: str) -> None:
        """Begin at the start of a journal."""
        ...

    def take(self, event: Event) -> list[Item]:
        """Take one event in and return what it gives; most kinds give nothing."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return a JSON document from which `restore` carries on after the last event taken."""
        ...

    @classmethod
    def restore(cls, cluster: str, snapshot: Mapping[str, Any]) -> Self:
        """Return the fold that a snapshot was taken of; raises SnapshotError."""
        ...
