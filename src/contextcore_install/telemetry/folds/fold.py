"""What all folds of the events have in common: one for each sort of backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar, Generic, Self, TypeVar

from contextcore_install.core.events import Event

Item = TypeVar("Item")


class Fold(ABC, Generic[Item]):
    """Makes items to send of events taken in order; the same events always give the same items.

    `version` is that of its snapshots, and raised when the fold changes; 0 for a fold that keeps nothing.
    """

    version: ClassVar[int] = 0

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    @abstractmethod
    def take(self, event: Event) -> list[Item]: ...

    def snapshot(self) -> dict[str, Any]:
        """Return a JSON document from which `restore` continues after the last event taken."""
        return {}

    def _continue_from(self, snapshot: Mapping[str, Any]) -> None:
        """Take over what a snapshot holds; one that is none raises what it may."""

    @classmethod
    def restore(cls, cluster: str, snapshot: Mapping[str, Any]) -> Self | None:
        """Return None for what is no snapshot, or another version's."""
        if snapshot.get("version", 0) != cls.version:
            return None
        fold = cls(cluster)
        try:
            fold._continue_from(snapshot)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return fold


def trace_id(run_id: str) -> str:
    """Return a run's trace id: 32 hexadecimal digits (https://www.w3.org/TR/trace-context/#traceparent-header)."""
    return sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, number: int) -> str:
    """Return the id of the span that the run's event of this number stands for: 16 hexadecimal digits."""
    return sha256(f"{run_id}/{number}".encode()).hexdigest()[:16]
