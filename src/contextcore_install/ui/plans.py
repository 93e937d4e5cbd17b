"""What would be done, before it is: the plan of an installation, and the remedies of a repair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextcore_install.core.findings import Risk
from contextcore_install.ui.hints import hint_lines
from contextcore_install.ui.status import finding_lines
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.text import count, sanitize

_RISKS = {
    Risk.HARMLESS: ("harmless", "good"),
    Risk.RESTARTS: ("restarts something", "warn"),
    Risk.LOSES_DATA: ("loses data", "bad"),
}


def render_plan(checks: Sequence[Mapping[str, Any]], style: Style, titles: Mapping[str, str] | None = None) -> str:
    """Return the steps in order with what would be done; `checks` are the documents of the steps' checks."""
    todo = sum(not check.get("satisfied") for check in checks)
    head = f"{todo} of {count(len(checks), 'step')} would be applied" if todo else "Nothing would be done"
    lines = [style.line((head + ".", "strong")), ""]
    for number, check in enumerate(checks, 1):
        step = sanitize(check.get("id", ""), 60)
        title = sanitize((titles or {}).get(step, ""), 80)
        satisfied = bool(check.get("satisfied"))
        text = ("already so: " + sanitize(check.get("summary", ""))).removesuffix(": ") if satisfied else title
        lead: list[Span] = [
            (f"{number:3}. ", "faint"),
            style.mark("already" if satisfied else "begin"),
            (f" {step:<16} ", "faint" if satisfied else "strong"),
        ]
        lines += style.paragraph(text, first=lead, indent=8, tone="faint" if satisfied else "")
        for finding in _mappings(check.get("findings")):
            lines += finding_lines(finding, style, indent=7)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Group:
    """One remedy, and the findings that it heals: the steps that found them, and their documents."""

    remedy: Mapping[str, Any]
    risk: Risk
    findings: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def automatic(self) -> bool:
        """Whether a repair carries it out."""
        return bool(self.remedy.get("automatic"))

    def as_document(self) -> dict[str, Any]:
        """Return the remedy as JSON output shows it."""
        found = [
            {"step": step, "code": finding.get("code", ""), "message": finding.get("message", "")}
            for step, finding in self.findings
        ]
        return {**self.remedy, "risk": self.risk.value, "automatic": self.automatic, "findings": found}


def remedies(checks: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return each remedy once, with what it heals: smallest risk first, then in the plan's order."""
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for check in checks:
        for finding in _mappings(check.get("findings")):
            if isinstance(finding.get("remedy"), Mapping) and not finding.get("warning"):
                same = json.dumps(finding["remedy"], sort_keys=True, default=str)
                groups.setdefault(same, []).append((str(check.get("id", "")), finding))
    order = list(Risk)
    found = [Group(pairs[0][1]["remedy"], risk_of(pairs[0][1]), tuple(pairs)) for pairs in groups.values()]
    return sorted(found, key=lambda group: order.index(group.risk))


def risk_of(finding: Mapping[str, Any]) -> Risk:
    """Return the risk of a finding's remedy; what is not known is taken for the greatest."""
    remedy = finding.get("remedy")
    try:
        return Risk(remedy.get("risk", Risk.HARMLESS)) if isinstance(remedy, Mapping) else Risk.HARMLESS
    except ValueError:
        return Risk.LOSES_DATA


def render_remedies(checks: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Return a repair's plan: every remedy with its risk and what it heals, smallest first; then what has none."""
    found = remedies(checks)
    lines: list[str] = []
    if found:
        head = f"{len(found)} remedies, smallest risk first" if len(found) > 1 else "1 remedy"
        lines.append(style.line((head, "strong")))
    for number, group in enumerate(found, 1):
        lines += _remedy_lines(number, group, style)
    lines += _without_remedy(checks, style)
    return "\n".join(lines) or style.line(style.mark("done"), (" Nothing is broken.", "good"))


def _remedy_lines(number: int, group: Group, style: Style) -> list[str]:
    label, tone = _RISKS[group.risk]
    lead: list[Span] = [(f"{number:3}. ", "faint"), (f"[{'' if group.automatic else 'by hand, '}{label}] ", tone)]
    summary, command = sanitize(group.remedy.get("summary", "")), sanitize(group.remedy.get("command", ""))
    lines = style.paragraph(summary or style.typed(command), first=lead, indent=5)
    for step, finding in group.findings:
        text = f"{sanitize(step, 60)}: {sanitize(finding.get('message', ''))}"
        lines += style.paragraph(text, indent=5, tone="faint")
    if not group.automatic:
        lines += hint_lines(style, command, label=f"{style.symbol('then')} ", indent=5)
    return lines


def _without_remedy(checks: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """Return the findings that no remedy of theirs heals: warnings, and what others stand in the way of."""
    lines: list[str] = []
    for check in checks:
        for finding in _mappings(check.get("findings")):
            if finding.get("warning") or not isinstance(finding.get("remedy"), Mapping):
                mark = style.mark("finding" if finding.get("warning") else "failed")
                text = f"{sanitize(check.get('id', ''), 60)}: {sanitize(finding.get('message', ''))}"
                lines += style.paragraph(text, first=[mark, (" ", "")], indent=2, tone="faint")
    return lines


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
