"""Text for people: sanitized, measured in terminal cells, cut, wrapped; durations and sizes in words."""

from __future__ import annotations

from contextcore_install.core.events import known_duration
from contextcore_install.core.text import count

LIMIT = 400  # how many characters of one value from outside are shown; the rest is in the logs


def sanitize(value: object, limit: int = LIMIT) -> str:
    """Return a value from outside as one line that does nothing to a terminal.

    Escape sequences go, every run of white space becomes one blank, other control characters become
    U+FFFD, invisible ones (direction overrides, zero width) go, and what is too long ends in "…".
    """
    text = str(value)
    cut = len(text) > 4 * limit
    if cut:
        text = text[: 4 * limit]
    if not text.isprintable():
        text = printable(" ".join(_without_escapes(text).split()))
    text = text.strip()
    return text[: limit - 1].rstrip() + "…" if len(text) > limit or cut else text


def sanitize_lines(value: str, most: int) -> list[str]:
    """Return the last `most` lines of a longer text from outside, each sanitized; empty ones go."""
    tail = value[-(most + 1) * LIMIT :].replace("\r\n", "\n")
    return [line for line in map(sanitize, tail.split("\n")) if line][-most:]


def _without_escapes(text: str) -> str:
    """Return the text without terminal escape sequences (CSI, OSC and two-character ones)."""
    if "\x1b" not in text and "\x9b" not in text:
        return text
    import re

    sequence = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?"
    return re.sub(sequence, "", text, flags=re.DOTALL)


def printable(text: str) -> str:
    """Return the text with U+FFFD for what is not printable, and without invisible characters."""
    if text.isprintable():
        return text
    from unicodedata import category

    return "".join(c if c.isprintable() else "" if category(c) == "Cf" else "�" for c in text)


def latest_line(text: object) -> str:
    """Return what a terminal would show of a line that was overwritten with carriage returns."""
    parts = [part for part in str(text)[-4 * LIMIT :].split("\r") if part.strip()]
    return sanitize(parts[-1]) if parts else ""


def cells(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if character <= "\x7f":
        return 1
    from unicodedata import category, east_asian_width

    if category(character) in {"Mn", "Me"} or "\ufe00" <= character <= "\ufe0f":  # marks, and variation selectors
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def clip(text: str, width: int, ellipsis: str = "…") -> str:
    """Return the text cut to `width` cells; what was cut shows as an ellipsis if there is room."""
    if cells(text) <= width:
        return text
    room = width - len(ellipsis)
    return _head(text, room).rstrip() + ellipsis if room >= 0 else ""


def pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def wrap(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` cells (at least 2), broken at blanks where possible."""
    width = max(2, width)
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and cells(line) + 1 + cells(word) <= width:
            line += " " + word
            continue
        if line:
            lines.append(line)
        line = word
        while cells(line) > width:
            lines.append(_head(line, width))
            line = line[len(lines[-1]) :]
    return [*lines, line] if line or not lines else lines


def _head(text: str, width: int) -> str:
    """Return the beginning of a text that takes at most `width` cells."""
    taken = 0
    for index, character in enumerate(text):
        taken += _cells_of(character)
        if taken > width:
            return text[:index]
    return text


def duration(seconds: object) -> str:
    """Return seconds in words, to a precision that people read; "" for what is no duration."""
    seconds = known_duration(seconds)
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, unit, small, rest in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            return f"{whole // large} {unit} {whole % large // small:02d} {rest}"
    return f"{whole} s"


def size(amount: int) -> str:
    """Return bytes in words: whole ones up to 1 KiB, then to a precision that people read."""
    if amount < 1024:
        return count(amount, "byte")
    value, unit = amount / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if value < 1023.5:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def stopwatch(seconds: float) -> str:  # 0:07 or 1:02:03
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def time_of_day(at_us: int) -> str:  # in UTC, as 15:30:05
    second = at_us // 1_000_000 % 86_400
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
