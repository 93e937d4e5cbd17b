"""Evidence for a diagnosis: named pieces, each collected by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from contextcore_install.core.dataclass import dataclass

if TYPE_CHECKING:
    from contextcore_install.core.interfaces import StepContext

KEPT_BYTES = 256 * 1024  # of the end of a text
READ_BYTES = KEPT_BYTES + 64 * 1024  # more, as secrets are hidden before the cut: no half of one is left at it

Piece = tuple[str, Any]
"""A path in the bundle, as `host/logs/mimir.log`, and its content: a text, or a JSON document."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Something that can be collected, called `name` in messages; a `slow` one may take longer than a few seconds.

    `collect` only reads, may raise InstallError, and ends when its context does; what it has yielded by then counts.
    Nothing of it is redacted yet.
    """

    name: str
    collect: Callable[[StepContext], Iterable[Piece]]
    slow: bool = False
