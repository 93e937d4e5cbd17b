"""What all folds of the events have in common: one for each sort of backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
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


def trace_id(run_id: str) -> str:
    """Return the id of a run's trace: 32 hexadecimal digits.

    So long are those of W3C Trace Context: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    return sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, number: int) -> str:
    """Return the id of the span that the run's event of this number stands for: 16 hexadecimal digits."""
    return sha256(f"{run_id}/{number}".encode()).hexdigest()[:16]
