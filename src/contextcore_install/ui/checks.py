"""What steps' checks and a verification found, for people: what would be done about it, and what is wrong first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.dataclass import asdict, replace
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk, finding_from_document
from contextcore_install.core.text import count
from contextcore_install.ui.hints import Commands, hint_lines
from contextcore_install.ui.status import finding_lines, live_findings
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import sanitize

_RISKS = {
    Risk.HARMLESS: ("harmless", "good"),
    Risk.RESTARTS: ("restarts something", "warn"),
    Risk.LOSES_DATA: ("loses data", "bad"),
}
_Checks = Mapping[str, CheckResult]
"""What each step's check found, in the plan's order."""
_ROWS = {"met": ("done", ""), "unmet": ("failed", "bad"), "skipped": ("waiting", "faint")}
"""The mark of a requirement's row, and the tone of its title."""


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
                lines += style.marked("finding" if finding.warning else "failed", _told(step, finding), tone="faint")
    return "\n".join(lines) or style.line(style.mark("done"), (" Nothing is broken.", "good"))


def _told(step: str, finding: Finding) -> str:
    return f"{sanitize(step, 60)}: {sanitize(finding.message)}"


def render_verification(
    document: Mapping[str, Any], checks: Mapping[str, CheckResult], style: Style, commands: Commands
) -> str:
    """Return the steps' checks, what is unmet with its fix (the critical first), every category, and the verdict."""
    requirements: Sequence[Mapping[str, Any]] = document["requirements"]
    lines = live_findings(checks, style)
    for critical, heading in ((True, "Not met"), (False, "Not met, and not critical")):
        told = [each for each in requirements if each["id"] not in checks and each["critical"] is critical]
        if unmet := [each for each in told if each["status"] == "unmet"]:
            lines += ["", style.line((heading, "strong"))]
        for each in unmet:
            lines.append(style.line(style.mark("failed"), f" {sanitize(each['title'])}"))
            for finding in each.get("findings", ()):
                lines += finding_lines(finding_from_document(finding), style)
    for row in document["categories"]:
        of_it = [each for each in requirements if each["category"] == row["category"]]
        if of_it:
            lines += ["", _heading(row, style), *_rows(of_it, style)]
    return "\n".join([*lines, "", *_verdict(document, style, commands)])


def _heading(row: Mapping[str, Any], style: Style) -> str:
    percent, met, looked_at = row["completeness_percent"], row["met"], row["met"] + row["unmet"]
    name = sanitize(row["category"], 40).replace("_", " ")
    if percent is None:
        return style.line((name, "strong"), ("  nothing could be looked at", "faint"))
    return style.line((name, "strong"), f"  {percent:g} %, {met} of {looked_at}")


def _rows(requirements: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """Return a row for each requirement; those that were skipped for the same reason share one."""
    skipped = Counter(each.get("evidence") for each in requirements if each["status"] == "skipped")
    rows: list[tuple[Span, ...]] = []
    for each in requirements:
        mark, tone = _ROWS[each["status"]]
        title, seen = sanitize(each["title"], 70), style.typed(sanitize(each.get("evidence") or ""))
        if each["status"] == "skipped":
            alike = skipped.pop(each.get("evidence"), 0)
            if not alike:
                continue
            seen, title = f"skipped: {seen}", title + (f", and {alike - 1} more" if alike > 1 else "")
        elif each["status"] == "met" and each.get("findings"):  # warnings, or it would not be met
            mark, seen = "finding", sanitize(each["findings"][0].get("message", ""))
        rows.append((style.mark(mark), (title, tone), (seen, "faint")))
    to_copy = [place for place, (_, _, seen) in enumerate(rows) if "://" in seen[0]]
    return table(style, rows, gap=1, whole=to_copy)


def _verdict(document: Mapping[str, Any], style: Style, commands: Commands) -> Iterator[str]:
    unmet = sum(each["status"] == "unmet" for each in document["requirements"])
    percent = document["completeness_percent"]
    share = f" ({percent:g} % of the requirements are met)" if percent is not None else ""
    verdict, tone = f"everything is as it should be{share}", "good"
    if not document["ok"]:
        verdict, tone = f"not as it should be{share}; {commands('--repair')} fixes what it can", "bad"
    elif unmet:
        verdict, tone = f"works{share}; not met, and not critical: {count(unmet, 'requirement')}", ""
    yield from style.paragraph(f"{document['cluster']}: {verdict}", tone=tone)
    if not document["recorded"]:
        text = f"This was not recorded: {sanitize(document['not_recorded'])}"
        yield from style.paragraph(text, tone="faint")
