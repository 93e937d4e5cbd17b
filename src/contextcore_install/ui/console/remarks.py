"""What a run remarks beside its steps: the same words in the live view, in the log and on the page."""

from __future__ import annotations

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import Finding
from contextcore_install.ui.text import sanitize

MOST_CHANGES = 6  # how many changes of an imported state are named; all are in the journal


def remark(event: Event) -> str:
    """Return what an event that changes no step has to say to people; "" if it is nothing."""
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


def needs_a_hand(finding: Finding) -> bool:
    """Whether a finding wants its reader: a warning, or something that the step does not heal by itself."""
    return finding.warning or not (finding.remedy and finding.remedy.automatic)


def _listed(items: object) -> str:
    if not isinstance(items, list | tuple):
        return sanitize(items or "")
    more = len(items) - MOST_CHANGES
    named = ", ".join(sanitize(item, 80) for item in items[:MOST_CHANGES])
    return named + (f" and {more} more" if more > 0 else "")
