"""A verification for people, from the document that `--output json` prints: what is wrong first, then all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.findings import CheckResult, finding_from_document
from contextcore_install.core.text import count
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.status import finding_lines, live_findings
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import sanitize

_ROWS = {"met": ("done", ""), "unmet": ("failed", "bad"), "skipped": ("waiting", "faint")}
"""The mark of a requirement's row, and the tone of its title."""


def render_verification(
    document: Mapping[str, Any], checks: Mapping[str, CheckResult], style: Style, commands: Commands
) -> str:
    """Return the steps' checks, what is unmet with its fix (the critical first), every category, and the verdict."""
    requirements: Sequence[Mapping[str, Any]] = document["requirements"]
    lines = live_findings(checks, style)
    for critical, heading in ((True, "Not met"), (False, "Not met, and not critical")):
        unmet = [each for each in requirements if each["status"] == "unmet" and each["critical"] is critical]
        if unmet := [each for each in unmet if each["id"] not in checks]:
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
    whole: set[int] = set()
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
        if "://" in seen:  # what to copy
            whole.add(len(rows))
        rows.append((style.mark(mark), (title, tone), (seen, "faint")))
    return table(style, rows, gap=1, whole=whole)


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
