"""Earlier runs, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import duration, sanitize

_OUTCOMES = {"succeeded": ("done", "good"), "failed": ("failed", "bad"), "interrupted": ("stopped", "warn")}


def render_history(runs: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Return a line for each run, in the order given.

    A run is `run_id`, `mode`, `started_at` (RFC 3339), `duration_seconds`, `outcome` ("" for one that
    ended without a word) and `failed_step`.
    """
    if not runs:
        return "No runs yet."
    heads = ("  when (UTC)", "mode", "took", "outcome", "run")
    rows: list[tuple[Span, ...]] = [tuple((head, "faint") for head in heads)]
    return "\n".join(table(style, rows + [_row(run, style) for run in runs], indent=0, dispensable=(4, 2, 1)))


def _row(run: Mapping[str, Any], style: Style) -> tuple[Span, ...]:
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
