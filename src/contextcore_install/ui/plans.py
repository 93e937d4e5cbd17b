"""What would be done, before it is: the plan of an installation, and the remedies of a repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.findings import Risk
from contextcore_install.ui.commands import hint_lines
from contextcore_install.ui.look import Look, Span
from contextcore_install.ui.status import finding_lines
from contextcore_install.ui.text import count, harmless

_RISKS = {
    Risk.HARMLESS: ("harmless", "good"),
    Risk.RESTARTS: ("restarts something", "warn"),
    Risk.LOSES_DATA: ("loses data", "bad"),
}


def render_plan(
    checks: Sequence[Mapping[str, Any]], look: Look, titles: Mapping[str, str] | None = None
) -> str:
    """Return the steps in order with what would be done; `checks` are the documents of the steps' checks."""
    todo = sum(not check.get("satisfied") for check in checks)
    head = f"{todo} of {count(len(checks), 'step')} would be applied" if todo else "Nothing would be done"
    lines = [look.line((head + ".", "strong")), ""]
    for number, check in enumerate(checks, 1):
        step = harmless(check.get("id", ""), 60)
        title = harmless((titles or {}).get(step, ""), 80)
        satisfied = bool(check.get("satisfied"))
        text = (
            ("already so: " + harmless(check.get("summary", ""))).removesuffix(": ") if satisfied else title
        )
        lead: list[Span] = [
            (f"{number:3}. ", "faint"),
            look.mark("already" if satisfied else "begin"),
            (f" {step:<16} ", "faint" if satisfied else "strong"),
        ]
        lines += look.paragraph(text, first=lead, indent=8, style="faint" if satisfied else "")
        for finding in _mappings(check.get("findings")):
            lines += finding_lines(finding, look, indent=7)
    return "\n".join(lines)


def remedies(checks: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (step, finding) for every finding that has a remedy, smallest risk first, then in the plan's order."""
    found = [
        (str(check.get("id", "")), finding)
        for check in checks
        for finding in _mappings(check.get("findings"))
        if isinstance(finding.get("remedy"), Mapping)
    ]
    order = list(Risk)
    return sorted(found, key=lambda pair: order.index(risk_of(pair[1])))


def risk_of(finding: Mapping[str, Any]) -> Risk:
    """Return the risk of a finding's remedy; what is not known is taken for the greatest."""
    remedy = finding.get("remedy")
    try:
        return Risk(remedy.get("risk", Risk.HARMLESS)) if isinstance(remedy, Mapping) else Risk.HARMLESS
    except ValueError:
        return Risk.LOSES_DATA


def render_remedies(checks: Sequence[Mapping[str, Any]], look: Look) -> str:
    """Return a repair's plan: every remedy with its risk, smallest first, and what is left to the user."""
    found = remedies(checks)
    if not found:
        return look.line(look.mark("done"), (" Nothing is broken.", "good"))
    head = f"{len(found)} remedies, smallest risk first" if len(found) > 1 else "1 remedy"
    lines = [look.line((head, "strong"))]
    for number, (step, finding) in enumerate(found, 1):
        remedy = finding["remedy"]
        label, style = _RISKS[risk_of(finding)]
        by_hand = "" if remedy.get("automatic") else "by hand, "
        lead: list[Span] = [(f"{number:3}. ", "faint"), (f"[{by_hand}{label}] ", style)]
        text = harmless(remedy.get("summary", "")) or look.typed(harmless(remedy.get("command", "")))
        lines += look.paragraph(text, first=lead, indent=5)
        lines += look.paragraph(
            f"{harmless(step, 60)}: {harmless(finding.get('message', ''))}", indent=5, style="faint"
        )
        if not remedy.get("automatic"):
            lines += hint_lines(look, remedy.get("command", ""), label=f"{look.symbol('then')} ", indent=5)
    return "\n".join(lines)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
