"""What would be done, before it is: the plan of an installation, and the remedies of a repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contextcore_install.core.dataclass import asdict, replace
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.core.text import count
from contextcore_install.ui.hints import hint_lines
from contextcore_install.ui.status import finding_lines
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.text import sanitize

_RISKS = {
    Risk.HARMLESS: ("harmless", "good"),
    Risk.RESTARTS: ("restarts something", "warn"),
    Risk.LOSES_DATA: ("loses data", "bad"),
}
_Checks = Mapping[str, CheckResult]
"""What each step's check found, in the plan's order."""


def render_plan(checks: _Checks, style: Style, titles: Mapping[str, str]) -> str:
    todo = sum(not result.satisfied for result in checks.values())
    head = f"{todo} of {count(len(checks), 'step')} would be applied" if todo else "Nothing would be done"
    lines = [style.line((head + ".", "strong")), ""]
    for number, (step, result) in enumerate(checks.items(), 1):
        done = result.satisfied
        text = f"up to date: {sanitize(result.summary)}".removesuffix(": ") if done else titles.get(step, "")
        lead: list[Span] = [(f"{number:3}. ", "faint"), style.mark("already" if done else "begin")]
        lead.append((f" {sanitize(step, 60):<16} ", "faint" if done else "strong"))
        lines += style.paragraph(text, first=lead, indent=8, tone="faint" if done else "")
        for finding in result.findings:
            lines += finding_lines(finding, style, indent=7)
    return "\n".join(lines)


def remedies(checks: _Checks) -> list[tuple[Remedy, list[tuple[str, Finding]]]]:
    """Return each remedy once, with what it heals and the steps that found it: smallest risk first, in plan order."""
    groups: dict[Remedy, list[tuple[str, Finding]]] = {}
    for step, result in checks.items():
        for finding in result.problems:
            if finding.remedy:
                groups.setdefault(finding.remedy, []).append((step, finding))
    return sorted(groups.items(), key=lambda group: list(Risk).index(group[0].risk))


def remedies_document(checks: _Checks, typed: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the remedies as JSON output shows them; `typed` makes commands those that this user types."""
    return [
        {
            **asdict(replace(remedy, command=typed(remedy.command))),
            "findings": [{"step": step, "code": each.code, "message": each.message} for step, each in healed],
        }
        for remedy, healed in remedies(checks)
    ]


def render_remedies(checks: _Checks, style: Style) -> str:
    """Return a repair's plan: every remedy with its risk and what it heals, smallest first; then what has none."""
    found = remedies(checks)
    lines: list[str] = []
    if found:
        head = f"{len(found)} remedies, smallest risk first" if len(found) > 1 else "1 remedy"
        lines.append(style.line((head, "strong")))
    for number, (remedy, healed) in enumerate(found, 1):
        label, tone = _RISKS[remedy.risk]
        lead: list[Span] = [(f"{number:3}. ", "faint"), (f"[{'' if remedy.automatic else 'by hand, '}{label}] ", tone)]
        summary = sanitize(remedy.summary) or style.typed(sanitize(remedy.command))
        lines += style.paragraph(summary, first=lead, indent=5)
        for step, finding in healed:
            lines += style.paragraph(_told(step, finding), indent=5, tone="faint")
        if not remedy.automatic:
            lines += hint_lines(style, remedy.command, label=f"{style.symbol('then')} ", indent=5)
    for step, result in checks.items():
        for finding in result.findings:  # warnings, and what others stand in the way of
            if finding.warning or not finding.remedy:
                lead = [style.mark("finding" if finding.warning else "failed"), (" ", "")]
                lines += style.paragraph(_told(step, finding), first=lead, indent=2, tone="faint")
    return "\n".join(lines) or style.line(style.mark("done"), (" Nothing is broken.", "good"))


def _told(step: str, finding: Finding) -> str:
    return f"{sanitize(step, 60)}: {sanitize(finding.message)}"
