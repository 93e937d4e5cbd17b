"""What a run remarks beside its steps: the same words in the live view and in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.text import sanitize

MOST_CHANGES = 6
"""How many changes of an imported state are named; all are in the journal."""


def remark(event: Event) -> str:
    """Return what an event that changes no step has to say to people; "" where it is nothing."""
    data = event.data
    if event.kind is Kind.NOTICE:
        return sanitize(data.get("text", ""))
    if event.kind is Kind.RUN_STARTED and data.get("provider_reason"):
        return f"on {sanitize(data.get('provider', ''), 40)}: {sanitize(data['provider_reason'])}"
    if event.kind is Kind.SETTINGS_CHANGED:
        return f"settings changed: {_listed(data.get('changed'))}"
    if event.kind is Kind.STATE_IMPORTED:
        return f"taken over from the {sanitize(data.get('source', 'state file'), 80)}: {_listed(data.get('changes'))}"
    return ""


def needs_a_hand(finding: Mapping[str, Any]) -> bool:
    """Whether a finding wants its reader: a warning, or something that the step does not heal by itself."""
    remedy = finding.get("remedy")
    return bool(finding.get("warning")) or not (isinstance(remedy, Mapping) and remedy.get("automatic"))


def _listed(items: object) -> str:
    if not isinstance(items, list | tuple):
        return sanitize(items or "")
    named = [sanitize(item, 80) for item in items[:MOST_CHANGES]]
    more = len(items) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
