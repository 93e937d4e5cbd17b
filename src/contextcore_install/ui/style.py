"""How lines are drawn: width, colour and symbols. The one place that knows SGR codes."""

from __future__ import annotations

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.ui.text import cells, clip, pad, printable, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

Span = tuple[str, str]
"""A piece of a line: its text, and its tone ("" for none)."""

_SGR = {"good": "32", "bad": "31", "warn": "33", "busy": "36", "strong": "1", "faint": "2"}
_SYMBOLS = {  # in Unicode, in ASCII, and the tone
    "done": ("✓", "+", "good"),
    "already": ("=", "=", "good"),
    "failed": ("✗", "x", "bad"),
    "finding": ("!", "!", "warn"),
    "retry": ("↻", "~", "warn"),
    "pausing": ("↻", "~", "warn"),
    "running": ("●", "*", "busy"),
    "begin": ("▸", ">", "faint"),
    "waiting": ("·", "-", "faint"),
    "part": ("•", "*", "faint"),
    "stopped": ("◼", "#", "faint"),
    "life": ("…", ".", "faint"),
    "output": ("|", "|", "faint"),
    "command": ("$", "$", "faint"),
    "full": ("━", "#", ""),
    "empty": ("─", "-", ""),
    "dash": (" · ", " - ", ""),
    "then": ("→", "->", ""),
}
_SPINNERS = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\")


@dataclass(frozen=True, slots=True)
class Style:
    """What the reader's screen can show. `width` is in cells (at least 1).

    `typed` is `Commands.typed`. `cuts` says whether a line that is too long is cut: in a pipe none is, for whoever
    searches there for whole sentences.
    """

    width: int = 80
    colour: bool = False
    unicode: bool = True
    typed: Callable[[str], str] = str
    cuts: bool = True

    def narrowed(self, width: int) -> Style:
        return replace(self, width=max(1, width))

    def symbol(self, name: str) -> str:
        return _SYMBOLS[name][0 if self.unicode else 1]

    def mark(self, name: str) -> Span:
        return self.symbol(name), _SYMBOLS[name][2]

    def spinner(self, seconds: float) -> Span:
        pictures = _SPINNERS[0 if self.unicode else 1]
        return pictures[int(seconds * 8) % len(pictures)], "busy"

    def plain(self, text: str) -> str:
        text = printable(text)
        if self.unicode or text.isascii():
            return text
        return text.replace("…", "...").replace("→", "->").encode("ascii", "replace").decode("ascii")

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
            shown = self.fitted(text, left) if self.cuts and not whole else text
            pieces.append((shown, tone))
            if shown != text:
                break
            left -= cells(shown)
        return self._paint(pieces)

    def paragraph(self, text: str, *, first: Sequence[str | Span] = (), indent: int = 0, tone: str = "") -> list[str]:
        """Return the text wrapped, behind `first` on its first line and `indent` blanks on the others."""
        indent = min(indent, self.width // 3)
        lead = sum(cells(self.plain(span if isinstance(span, str) else span[0])) for span in first)
        lines: list[str] = []
        if lead > self.width // 2:  # no room beside it: the text begins on a line of its own
            lines.append(self.line(*first))
            first, lead = (), 0
        opening = first or [" " * indent]
        for text_line in wrap(self.plain(text), self.width - max(indent, lead)):
            lines.append(self.line(*opening, (text_line, tone)))
            opening = [" " * indent]
        return lines

    def marked(self, mark: str, text: str, *, indent: int = 0, tone: str = "") -> list[str]:
        """Return the text wrapped behind a mark."""
        return self.paragraph(text, first=[" " * indent, self.mark(mark), " "], indent=indent + 2, tone=tone)

    def _paint(self, pieces: list[Span]) -> str:
        while pieces and not pieces[-1][0].strip():
            pieces.pop()
        if pieces:
            pieces[-1] = (pieces[-1][0].rstrip(), pieces[-1][1])
        return "".join(
            f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if self.colour and tone and text.strip() else text
            for text, tone in pieces
        )


def shown_cells(line: str) -> int:
    """Return how many cells a line drawn by a Style takes."""
    first, *others = line.split("\x1b[")
    return cells(first) + sum(cells(piece.partition("m")[2]) for piece in others)


def table(
    style: Style,
    rows: Sequence[Sequence[Span]],
    *,
    head: Sequence[str] = (),
    indent: int = 2,
    gap: int = 2,
    dispensable: Sequence[int] = (),
    whole: Collection[int] = (),
) -> list[str]:
    """Return rows with aligned columns below a head, without empty columns; what is too long is cut at the end.

    If there is no room for all columns, some of the `dispensable` are left out: the last of them is the dearest.
    The rows whose places are in `whole` are not cut: they hold what is copied.
    """
    if not rows:
        return []
    drawn = [[(title, "faint") for title in head], *rows] if head else [*rows]
    widths = [max(cells(style.plain(text)) for text, _ in column) for column in zip(*drawn, strict=True)]
    shown = {column for column, width in enumerate(widths) if width and column not in dispensable}
    for column in reversed(dispensable):
        if widths[column] and indent + sum(widths[each] + gap for each in {*shown, column}) - gap <= style.width:
            shown.add(column)
    lines = []
    for place, row in enumerate(drawn, -1 if head else 0):
        spans: list[Span] = [(" " * indent, "")]
        for column in sorted(shown):
            text, tone = style.plain(row[column][0]), row[column][1]
            # Blanks behind the last would be cut if others are too long, and marked as cut.
            spans.append((text if column == max(shown) else pad(text, widths[column] + gap), tone))
        lines.append(style.line(*spans, whole=place in whole))
    return lines
