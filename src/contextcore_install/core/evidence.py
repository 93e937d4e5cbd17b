"""What a provider can show of itself when something is wrong: named pieces, each collected by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextcore_install.core.ports import StepContext

KEPT_BYTES = 256 * 1024
"""How much of a text is of use: its end."""

READ_BYTES = KEPT_BYTES + 64 * 1024
"""How much of it is read: secrets are hidden before it is cut, so that no half of one is left at the cut."""

Piece = tuple[str, Any]
"""Where it is to be found, as in `host/logs/mimir.log`, and what is there: a text, or a JSON document."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Something that can be collected, called `name` in messages.

    `collect` only reads, may raise InstallError, and ends when its context does; what it has yielded by then counts.
    Nothing of it is redacted yet. What is `slow` may take longer than a few seconds.
    """

    name: str
    collect: Callable[[StepContext], Iterable[Piece]]
    slow: bool = False
