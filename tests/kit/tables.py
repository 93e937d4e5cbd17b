"""Tables of figures in the documents: what tests have measured or tried, put between two marks of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_table(page: Path, section: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Replace what stands between `<!-- SECTION -->` and `<!-- end of SECTION -->`."""
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    table = "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])
    page.write_text(before + begin + table + end + rest.partition(end)[2], encoding="utf-8")
