"""How lines are drawn: width, colour and symbols. The one place that knows of SGR codes."""

from __future__ import annotations

from contextcore_install.ui.text import cells, clip, pad, printable, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

Span = tuple[str, str]
"""A piece of a line: its text, and a style's name ("" for none)."""

_SGR = {"good": "32", "bad": "31", "warn": "33", "busy": "36", "strong": "1", "faint": "2"}

_SYMBOLS = {
    "done": ("✓", "+"),
    "already": ("=", "="),
    "failed": ("✗", "x"),
    "finding": ("!", "!"),
    "retry": ("↻", "~"),
    "begin": ("▸", ">"),
    "waiting": ("·", "-"),
    "part": ("•", "*"),
    "stopped": ("◼", "#"),
    "running": ("●", "*"),
    "life": ("…", "."),
    "full": ("━", "#"),
    "empty": ("─", "-"),
    "dash": (" · ", " - "),
    "then": ("→", "->"),
}
_SPINNERS = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\")
_STYLES = {"done": "good", "already": "good", "failed": "bad", "finding": "warn", "retry": "warn"}


class Style:
    """What the reader's screen can show. `width` is in cells (at least 1).

    `typed` makes the program's commands in hints those that the reader types: see `Commands.typed`. `cuts` says
    whether a line that is too long is cut: in a pipe nothing is, as whoever searches there looks for whole sentences.
    """

    __slots__ = ("colour", "cuts", "typed", "unicode", "width")

    def __init__(
        self,
        width: int = 80,
        *,
        colour: bool = False,
        unicode: bool = True,
        typed: Callable[[str], str] = str,
        cuts: bool = True,
    ) -> None:
        self.cuts = cuts
        self.width = max(1, width)
        self.colour = colour
        self.unicode = unicode
        self.typed = typed

    def narrowed(self, width: int) -> Style:
        """Return the same style for another width."""
        return Style(width, colour=self.colour, unicode=self.unicode, typed=self.typed, cuts=self.cuts)

    def symbol(self, name: str) -> str:
        """Return a symbol as this screen can show it."""
        return _SYMBOLS[name][0 if self.unicode else 1]

    def mark(self, name: str) -> Span:
        """Return a symbol with its usual colour."""
        return self.symbol(name), _STYLES.get(name, "busy" if name == "running" else "faint")

    def spinner(self, seconds: float) -> Span:
        """Return the spinner's picture at a time."""
        pictures = _SPINNERS[0 if self.unicode else 1]
        return pictures[int(seconds * 8) % len(pictures)], "busy"

    def plain(self, text: str) -> str:
        """Return the text with only what this screen can show."""
        text = printable(text)
        return text if self.unicode or text.isascii() else _ascii(text)

    def fitted(self, text: str, width: int) -> str:
        """Return the text as this screen can show it, in at most `width` cells."""
        return clip(self.plain(text), width, "…" if self.unicode else ".")

    def line(self, *spans: str | Span, whole: bool = False) -> str:
        """Return one line of at most the style's width; `whole` leaves what is to be copied uncut."""
        pieces: list[Span] = []
        left = self.width
        for span in spans:
            text, tone = (span, "") if isinstance(span, str) else span
            text = self.plain(text)
            if self.cuts and not whole:
                shown = self.fitted(text, left)
                left -= cells(shown)
                pieces.append((shown, tone))
                if shown != text:
                    break
            else:
                pieces.append((text, tone))
        return self._paint(pieces)

    def paragraph(self, text: str, *, first: Sequence[Span] = (), indent: int = 0, tone: str = "") -> list[str]:
        """Return the text wrapped, behind `first` on its first line and `indent` blanks on the others."""
        indent = min(indent, self.width // 3)
        lead = sum(cells(self.plain(span[0])) for span in first)
        lines: list[str] = []
        if lead > self.width // 2:  # no room beside it: the text begins on a line of its own
            lines.append(self.line(*first))
            first, lead = (), 0
        opening: Sequence[Span] = first or [(" " * indent, "")]
        for text_line in wrap(self.plain(text), self.width - max(indent, lead)):
            lines.append(self.line(*opening, (text_line, tone)))
            opening = [(" " * indent, "")]
        return lines

    def _paint(self, pieces: list[Span]) -> str:
        while pieces and not pieces[-1][0].strip():
            pieces.pop()
        if pieces:
            pieces[-1] = (pieces[-1][0].rstrip(), pieces[-1][1])
        if not self.colour:
            return "".join(text for text, _ in pieces)
        return "".join(f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if tone and text.strip() else text for text, tone in pieces)


def _ascii(text: str) -> str:
    text = text.replace("…", "...").replace("→", "->")
    return text.encode("ascii", "replace").decode("ascii")


def shown_cells(line: str) -> int:
    """Return how many cells a line drawn by a Style takes."""
    if "\x1b" not in line:
        return cells(line)
    total = 0
    for index, piece in enumerate(line.split("\x1b[")):
        total += cells(piece.partition("m")[2] if index else piece)
    return total


def table(
    style: Style,
    rows: Sequence[Sequence[Span]],
    *,
    indent: int = 2,
    gap: int = 2,
    dispensable: Sequence[int] = (),
    whole: Collection[int] = (),
) -> list[str]:
    """Return rows with aligned columns, without those that are empty; what is too long is cut at the end.

    The rows whose places are in `whole` are not cut: they hold what is copied.
    Where there is no room for all, those that are not `dispensable` come first; of these the last is the dearest.
    """
    if not rows:
        return []
    columns = max(len(row) for row in rows)
    widths = [max((cells(style.plain(row[c][0])) for row in rows if c < len(row)), default=0) for c in range(columns)]
    filled = [column for column in range(columns) if widths[column]]
    shown = {column for column in filled if column not in dispensable}
    for column in (column for column in reversed(dispensable) if widths[column]):
        if indent + sum(widths[each] + gap for each in {*shown, column}) - gap <= style.width:
            shown.add(column)
    placed = [(column, widths[column] + gap) for column in filled if column in shown]
    return [_row(style, row, placed, indent, whole=place in whole) for place, row in enumerate(rows)]


def _row(style: Style, row: Sequence[Span], columns: Sequence[tuple[int, int]], indent: int, *, whole: bool) -> str:
    """Return a row's columns, each given with its width, behind an indent."""
    spans: list[Span] = [(" " * indent, "")]
    for column, width in columns:
        if column >= len(row):
            continue
        text, tone = style.plain(row[column][0]), row[column][1]
        # Blanks behind the last would be cut where others are too long, and marked as cut.
        is_last = (column, width) == columns[-1] or column == len(row) - 1
        spans.append((text if is_last else pad(text, width), tone))
    return style.line(*spans, whole=whole)
