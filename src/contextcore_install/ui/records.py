"""Where this machine's records and the cluster's differ, for people: the member `records` of the status document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import sanitize

_COUNTS = {"cluster": "the cluster's are newer, and count", "file": "this machine's are newer, and count"}


def records_lines(records: Mapping[str, Any], style: Style) -> list[str]:
    """Return what is worth telling; nothing where file and cluster agree and nobody else is at work."""
    lines = []
    lease = records.get("lease")
    if isinstance(lease, dict):
        text = f"Another machine has the lease: {sanitize(lease.get('host', '?'), 60)}"
        lines += style.paragraph(f"{text}, since {sanitize(lease.get('since', '?'), 40)}", tone="warn")
    if records.get("trouble"):
        lines += style.paragraph(f"The cluster's records: {sanitize(records['trouble'])}", tone="warn")
    if records.get("differ") is True:
        lines += _differences(records, style)
    return lines


def _differences(records: Mapping[str, Any], style: Style) -> list[str]:
    cluster = records.get("cluster")
    host = sanitize(cluster.get("host", "?"), 60) if isinstance(cluster, dict) else "?"
    counts = _COUNTS.get(str(records.get("counts")), "")
    lines = [style.line(("Records differ", "strong"), (f"  {counts}; the cluster's are of {host}", ""))]
    steps = records.get("steps")
    rows: list[tuple[Span, ...]] = [
        (("  step", "faint"), ("this machine", "faint"), ("cluster", "faint"), ("live", "faint"))
    ]
    rows += [_row(step) for step in (steps if isinstance(steps, list) else []) if isinstance(step, dict)]
    return [*lines, *table(style, rows)]


def _row(step: Mapping[str, Any]) -> tuple[Span, ...]:
    here, there = (sanitize(step.get(side) or "nothing", 20) for side in ("file", "cluster"))
    tone = "" if here == there else "warn"
    live = step.get("live")
    seen = "not known" if live is None else "as it should be" if live is True else "not as it should be"
    return (
        ("  " + sanitize(step.get("id", ""), 60), ""),
        (here.replace("_", " "), tone),
        (there.replace("_", " "), tone),
        (seen, ""),
    )
