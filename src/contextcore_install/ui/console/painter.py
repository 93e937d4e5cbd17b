"""Redraws a block of lines in place, at the end of what a terminal shows.

Terminals break lines anew when they get narrower, so the block may take more rows than were written;
it is measured in the width of now before it is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contextcore_install.ui.style import shown_cells

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_TO_END_OF_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


class Painter:
    """Paints through `write`; `size` gives columns and lines as they are now."""

    def __init__(self, write: Callable[[str], None], size: Callable[[], tuple[int, int]]) -> None:
        self._write = write
        self._size = size
        self._painted: list[int] = []

    def paint(self, lines: Sequence[str], *, above: Sequence[str] = (), before: str = "", after: str = "") -> None:
        """Put the lines in the place of those painted before, in one write; those `above` stay for good."""
        columns, rows = self._size()
        up = min(sum(max(1, -(-width // columns)) for width in self._painted), rows - 1)
        back = f"\r\x1b[{up}A" if up > 0 else "\r"
        # Cleared below the first line only: some terminals keep a copy of a screen cleared from its top.
        body = "".join(
            f"{line}{_CLEAR_TO_END_OF_LINE}\n{'' if at else _CLEAR_BELOW}" for at, line in enumerate([*above, *lines])
        )
        self._painted = [shown_cells(line) for line in lines]
        self._write(before + back + body + after)
