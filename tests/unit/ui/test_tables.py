"""Earlier runs, as a table."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.ui.style import Style
from contextcore_install.ui.tables import render_history
from unit.ui.samples import dangerous, json_values, too_wide


def test_the_history_is_a_table_of_runs() -> None:
    runs: list[dict[str, Any]] = [
        {
            "run_id": "run-1",
            "mode": "install",
            "started_at": "2026-01-01T12:00:00.123456Z",
            "duration_seconds": 70,
            "outcome": "failed",
            "failed_step": "pods_ready",
        },
        {"run_id": "run-2", "mode": "resume", "started_at": "2026-01-01T12:05:00Z", "outcome": ""},
    ]
    assert render_history(runs, Style(100)).splitlines() == [
        "  when (UTC)           mode     took        outcome               run",
        "✗ 2026-01-01 12:00:00  install  1 min 10 s  failed at pods_ready  run-1",
        "◼ 2026-01-01 12:05:00  resume               cut off               run-2",
    ]
    assert render_history([], Style(80)) == "No runs yet."


@given(st.lists(st.dictionaries(st.sampled_from(["run_id", "mode", "outcome", "started_at"]), json_values)))
def test_no_history_is_too_strange_to_be_shown(runs: list[dict[str, Any]]) -> None:
    shown = render_history(runs, Style(60))
    assert not dangerous(shown)
    assert not too_wide(shown, 60)
