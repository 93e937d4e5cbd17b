"""Installations, earlier runs and the members of a bundle, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.events import microseconds
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import duration, sanitize, size

NAMED = 2  # how many ports a row names one by one
_MARKS = {"complete": "done", "running": "running", "failed": "failed", "unreadable": "failed"}
_OUTCOMES = {"succeeded": ("done", "good"), "failed": ("failed", "bad")}


def render_clusters(rows: Sequence[Mapping[str, Any]], usual: Mapping[str, int], now_us: int, style: Style) -> str:
    """Return a line for each row of the document (docs/reference/clusters.md); `usual` are the usual ports, by key."""
    if not rows:
        return "No clusters yet."
    now = "now" if any("found" in row for row in rows) else ""
    head = ("  cluster", "provider", "where it stands", "ports", "begun", "last run", now)
    drawn = [_cluster(row, usual, now_us, style) for row in rows]
    return "\n".join(table(style, drawn, head=head, indent=0, dispensable=(4, 1, 3, 5)))


def _cluster(row: Mapping[str, Any], usual: Mapping[str, int], now_us: int, style: Style) -> tuple[Span, ...]:
    overall = str(row["overall"])
    symbol, tone = style.mark(_MARKS.get(overall, "stopped"))
    run, found, progress = row.get("run") or {}, row.get("found") or {}, row.get("progress")
    last = " ".join(word for word in (run.get("mode"), run.get("outcome"), _ago(run.get("started_at"), now_us)) if word)
    share = f" ({progress:.0%})" if isinstance(progress, float) and 0 < progress < 1 else ""
    return (
        (f"{symbol} {sanitize(row['cluster'], 63)}", "strong" if row.get("last_used") else tone),
        (sanitize(row.get("provider") or "", 40), ""),
        (overall.replace("_", " ") + share, tone),
        (_ports(row.get("ports") or {}, usual), ""),
        (_ago(row.get("started_at"), now_us), ""),
        (sanitize(last, 80), "faint"),
        (sanitize(found.get("state", ""), 40), ""),
    )


def _ports(ports: Mapping[str, int], usual: Mapping[str, int]) -> str:
    """Return the ports that are not the usual ones: each by its key, and many by the first and the last."""
    other = {key: port for key, port in ports.items() if port != usual[key]}
    if len(other) > NAMED:
        return f"{min(other.values())} to {max(other.values())}"
    return ", ".join(f"{key} {port}" for key, port in other.items()) or ("usual" if ports else "")


def _ago(instant: str | None, now_us: int) -> str:
    if not instant:
        return ""
    seconds = (now_us - microseconds(instant)) // 1_000_000
    if seconds <= 0:
        return "just now"
    since = duration(seconds)
    return f"{since} ago" if since else f"on {instant[:10]}"  # longer ago than anybody counts


def render_history(runs: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Return a line for each run, in the order given.

    A run is `run_id`, `mode`, `started_at` (RFC 3339), `duration_seconds`, `outcome` ("" if its end is not on record)
    and `failed_step`.
    """
    if not runs:
        return "No runs yet."
    head = ("  when (UTC)", "mode", "took", "outcome", "run")
    return "\n".join(table(style, [_run(run, style) for run in runs], head=head, indent=0, dispensable=(4, 2, 1)))


def _run(run: Mapping[str, Any], style: Style) -> tuple[Span, ...]:
    outcome = sanitize(run.get("outcome") or "", 40)
    symbol, tone = _OUTCOMES.get(outcome, ("stopped", "warn"))
    failed = sanitize(run.get("failed_step") or "", 60)
    when = sanitize(run.get("started_at") or "", 40).removesuffix("Z").replace("T", " ", 1).partition(".")[0]
    return (
        (f"{style.symbol(symbol)} {when}", tone),
        (sanitize(run.get("mode") or "", 20), ""),
        (duration(run.get("duration_seconds")), ""),
        ((outcome or "cut off") + (f" at {failed}" if failed else ""), tone),
        (sanitize(run.get("run_id") or "", 60), "faint"),
    )


def render_bundle(document: Mapping[str, Any], style: Style) -> str:
    """Return a line for each member of a bundle (docs/reference/offline-bundle.md), and one for the program's files."""
    files = [entry for entry in document["entries"] if entry["kind"] == "program"]
    program = {"kind": "program", "name": "contextcore-install", "version": document["version"]}
    program |= {"size": sum(entry["size"] for entry in files), "sha256": f"({len(files)} files)"}
    rows = [program, *(entry for entry in document["entries"] if entry["kind"] != "program")]
    tones = ("", "strong", "", "", "faint")
    facts = [(row["kind"], row["name"], row["version"], size(row["size"]), row["sha256"]) for row in rows]
    drawn = [list(zip(each, tones, strict=True)) for each in facts]
    signed = "signed" if document["signed"] else "not signed"
    about = f"for {', '.join(document['providers'])} on {document['platform']}, made {document['created']}, {signed}"
    lines = table(style, drawn, head=("kind", "name", "version", "size", "sha256"), indent=0, dispensable=(4, 2))
    return "\n".join([*lines, "", *style.paragraph(f"{size(document['bytes'])} in all, {about}.")])
