"""The installations in a home, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.events import microseconds
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import duration, sanitize

NAMED = 2
"""How many ports a row names one by one."""

_MARKS = {"complete": "done", "running": "running", "failed": "failed", "unreadable": "failed"}


def render_clusters(rows: Sequence[Mapping[str, Any]], usual: Mapping[str, int], now_us: int, style: Style) -> str:
    """Return a line for each cluster; a row is one of the `clusters` document (docs/reference/clusters.md).

    `usual` are the ports of who chose none, by key.
    """
    if not rows:
        return "No clusters yet."
    heads = ["  cluster", "provider", "where it stands", "ports", "begun", "last run"]
    if any("found" in row for row in rows):
        heads.append("now")
    drawn: list[tuple[Span, ...]] = [tuple((head, "faint") for head in heads)]
    drawn += [_row(row, usual, now_us, style) for row in rows]
    return "\n".join(table(style, drawn, indent=0, dispensable=(4, 1, 3, 5)))


def _row(row: Mapping[str, Any], usual: Mapping[str, int], now_us: int, style: Style) -> tuple[Span, ...]:
    overall = str(row["overall"])
    symbol, tone = style.mark(_MARKS.get(overall, "stopped"))
    run = row.get("run") or {}
    last = " ".join(word for word in (run.get("mode"), run.get("outcome"), _ago(run.get("started_at"), now_us)) if word)
    found = row.get("found") or {}
    return (
        (f"{symbol} {sanitize(row['cluster'], 63)}", "strong" if row.get("last_used") else tone),
        (sanitize(row.get("provider") or "", 40), ""),
        (_stands(overall, row.get("progress")), tone),
        (_ports(row.get("ports") or {}, usual), ""),
        (_ago(row.get("started_at"), now_us), ""),
        (sanitize(last, 80), "faint"),
        (sanitize(found.get("state", ""), 40), ""),
    )


def _stands(overall: str, progress: object) -> str:
    word = overall.replace("_", " ")
    return f"{word} ({progress:.0%})" if isinstance(progress, float) and 0 < progress < 1 else word


def _ports(ports: Mapping[str, int], usual: Mapping[str, int]) -> str:
    """Return the ports that are not the usual ones: each by its key, and many by the first and the last."""
    other = {key: port for key, port in ports.items() if port != usual[key]}
    if len(other) > NAMED:
        return f"{min(other.values())} to {max(other.values())}"
    return ", ".join(f"{key} {port}" for key, port in other.items()) or ("usual" if ports else "")


def _ago(instant: object, now_us: int) -> str:
    if not isinstance(instant, str) or not instant:
        return ""
    seconds = (now_us - microseconds(instant)) // 1_000_000
    if seconds <= 0:
        return "just now"
    since = duration(seconds)
    return f"{since} ago" if since else f"on {instant[:10]}"  # longer ago than anybody counts
