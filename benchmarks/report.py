"""The results: as a table on the screen, and as docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from measure import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


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
    """Rewrite the page."""
    text = [
        "# Benchmarks",
        "",
        "Written by `make bench ARGS=--write`; `make bench` measures again and prints the same tables.",
        f"These are from {datetime.now(UTC):%Y-%m-%d} ({machine()}).",
        "",
        "Each figure is a median. What is compared ran in turns in one run, on one machine and one disk: trust the",
        "ratios, which another machine shows alike, more than the figures.",
    ]
    for section in sections:
        text += ["", f"## {section.title}", "", "| what | figure | beside | target |", "|---|---|---|---|"]
        text += [f"| {row.what} | {row.figure} | {row.beside} | {_verdict(row)} |" for row in section.rows]
        if section.note:
            text += ["", section.note]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(text) + "\n", encoding="utf-8")


def _verdict(row: Row) -> str:
    return row.target if row.met is None else f"{row.target}: {'met' if row.met else 'MISSED'}"
