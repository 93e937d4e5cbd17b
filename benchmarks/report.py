"""The results: as a table on the screen, and as docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from measure import ROOT

from contextcore_install.core.dataclass import dataclass

PAGE = ROOT / "docs" / "benchmarks.md"

_HEAD = """\
# Benchmarks

Written by `make bench ARGS=--write`, or section by section with `make bench ARGS='kind --write'`; `make bench` measures
again and prints the same tables.

Each figure is a median. What is compared ran in turns in one run, on one machine and one disk: trust the
ratios, which another machine shows alike, more than the figures.
"""


@dataclass(frozen=True)
class Row:
    """One measurement. `met` is None where it has no target."""

    what: str
    figure: str
    beside: str = ""
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Section:
    """What one benchmark found, with what has to be known to read it."""

    title: str
    rows: Sequence[Row]
    note: str = ""


def machine() -> str:
    """Return what the figures depend on."""
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def as_text(sections: Sequence[Section]) -> str:
    """Return the tables for a terminal."""
    lines = []
    for section in sections:
        cells = [(row.what, row.figure, row.beside, _verdict(row)) for row in section.rows]
        widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
        lines += ["", section.title]
        lines += [
            "  " + "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()
            for cell in cells
        ]
    return "\n".join(lines)


def write_page(sections: Sequence[Section]) -> None:
    """Rewrite these sections of the page; the others stay as they were measured."""
    parts = _kept() | {section.title: _as_markdown(section) for section in sections}
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join([_HEAD, *parts.values()]), encoding="utf-8")


def _kept() -> dict[str, str]:
    """Return the sections of the page by their titles, in its order."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    parts = ("## " + part.rstrip() + "\n" for part in text.split("\n## ")[1:])
    return {part.partition("\n")[0].removeprefix("## "): part for part in parts}


def _as_markdown(section: Section) -> str:
    text = [f"## {section.title}", "", f"Measured on {datetime.now(UTC):%Y-%m-%d} ({machine()}).", ""]
    text += ["| what | figure | beside | target |", "|---|---|---|---|"]
    text += [f"| {row.what} | {row.figure} | {row.beside} | {_verdict(row)} |" for row in section.rows]
    if section.note:
        text += ["", section.note]
    return "\n".join(text) + "\n"


def _verdict(row: Row) -> str:
    return row.target if row.met is None else f"{row.target}: {'met' if row.met else 'MISSED'}"
