"""A verification for people, from the document that `--output json` prints: what is wrong first, then all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.ui.hints import Commands
from contextcore_install.ui.status import finding_lines, live_findings
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import count, sanitize

_MARKS = {"met": "done", "unmet": "failed", "skipped": "waiting"}


def render_verification(document: Mapping[str, Any], style: Style, commands: Commands) -> str:
    """Return the steps' checks, what is unmet with its fix (the critical first), every category, and the verdict."""
    requirements: Sequence[Mapping[str, Any]] = document["requirements"]
    steps = {check["id"] for check in document["checks"]}
    others = [each for each in requirements if each["id"] not in steps]
    lines = [*live_findings(document["checks"], style)]
    for critical, heading in ((True, "Not met"), (False, "Not met, and not critical")):
        unmet = [each for each in others if each["status"] == "unmet" and each["critical"] is critical]
        if unmet:
            lines += ["", style.line((heading, "strong"))]
            lines += [line for each in unmet for line in _unmet(each, style)]
    for row in document["categories"]:
        of_it = [each for each in requirements if each["category"] == row["category"]]
        if of_it:
            lines += ["", _heading(row, style), *_rows(of_it, style)]
    return "\n".join([*lines, "", *_verdict(document, style, commands)])


def _unmet(requirement: Mapping[str, Any], style: Style) -> Iterator[str]:
    yield style.line(style.mark("failed"), f" {sanitize(requirement['title'])}")
    for finding in requirement.get("findings", ()):
        yield from finding_lines(finding, style)


def _heading(row: Mapping[str, Any], style: Style) -> str:
    percent, met, looked_at = row["completeness_percent"], row["met"], row["met"] + row["unmet"]
    name = sanitize(row["category"], 40).replace("_", " ")
    if percent is None:
        return style.line((name, "strong"), ("  nothing could be looked at", "faint"))
    return style.line((name, "strong"), f"  {percent:g} %, {met} of {looked_at}")


def _rows(requirements: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    rows: list[tuple[Span, ...]] = []
    whole: set[int] = set()
    for each, like_it in _gathered(requirements):
        status = str(each["status"])
        tone = {"met": "", "unmet": "bad"}.get(status, "faint")
        seen, mark = style.typed(sanitize(each.get("evidence") or "")), _MARKS.get(status, "finding")
        if status == "skipped":
            seen = f"skipped: {seen}"
        elif status == "met" and each.get("findings"):  # warnings, or it would not be met
            mark, seen = "finding", sanitize(each["findings"][0].get("message", ""))
        if "://" in seen:  # what to copy
            whole.add(len(rows))
        title = sanitize(each["title"], 70) + (f", and {like_it} more" if like_it else "")
        rows.append((style.mark(mark), (title, tone), (seen, "faint")))
    return table(style, rows, gap=1, whole=whole)


def _gathered(requirements: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Return what gets a row each, with how many more it stands for: what was skipped for one reason has one row."""
    skipped = Counter(each.get("evidence") for each in requirements if each["status"] == "skipped")
    rows = []
    for each in requirements:
        if each["status"] != "skipped":
            rows.append((each, 0))
        elif alike := skipped.pop(each.get("evidence"), 0):
            rows.append((each, alike - 1))
    return rows


def _verdict(document: Mapping[str, Any], style: Style, commands: Commands) -> Iterator[str]:
    unmet = [each for each in document["requirements"] if each["status"] == "unmet"]
    percent = document["completeness_percent"]
    lead = f"{document['cluster']}: "
    share = f" ({percent:g} % of the requirements are met)" if percent is not None else ""
    if not document["ok"]:
        repair = commands("--repair")
        yield from style.paragraph(f"{lead}not as it should be{share}; {repair} fixes what it can", tone="bad")
    elif unmet:
        named = count(len(unmet), "requirement")
        yield from style.paragraph(f"{lead}works{share}; not met, and not critical: {named}")
    else:
        yield from style.paragraph(f"{lead}everything is as it should be{share}", tone="good")
    if not document["recorded"]:
        text = f"This was not recorded: {sanitize(document['not_recorded'])}"
        yield from style.paragraph(text, tone="faint")
