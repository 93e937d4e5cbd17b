"""The status of an installation for people, from the document that `--output json` prints.

Its start is measured, so it imports nothing but this package's own light modules.
"""

from __future__ import annotations

from contextcore_install.ui.hints import Commands, hint_lines
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import count, duration, sanitize, sanitize_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_OVERALL = {
    "not_installed": ("nothing is installed", ""),
    "running": ("a run is under way", "busy"),
    "complete": ("complete", "good"),
    "failed": ("failed", "bad"),
    "interrupted": ("interrupted", "warn"),
    "incomplete": ("incomplete", "warn"),
}
_STEP = {
    "pending": ("waiting", "faint"),
    "in_progress": ("running", "busy"),
    "completed": ("done", "good"),
    "failed": ("failed", "bad"),
}
REPAIR = ("--repair",)
LOOK_NOW = ("--status", "--live")
_NEXT = {
    "not_installed": (((), "installs"),),
    "running": (
        (("--attach",), "watches it here"),
        (("--status",), "again"),
        (("dashboard", "--open"), "shows it on a page"),
        (("logs",), "shows what its commands print"),
    ),
    "complete": (
        (LOOK_NOW, "how it is now, and its URLs"),
        (("verify",), "checks everything"),
        (REPAIR, "fixes what is broken"),
    ),
    "failed": ((("--resume",), "carries on from there"), (REPAIR, "checks everything, and fixes it")),
}
EVIDENCE_LINES = 8
"""How much of what shows a finding is shown."""

_CARRY_ON = ((("--resume",), "carries on from there"),)


def render_status(document: Mapping[str, Any], style: Style, commands: Commands | None = None) -> str:
    """Return the status in lines of at most the style's width; only commands to type may be longer."""
    commands = commands or Commands(cluster=sanitize(document.get("cluster") or ""))
    steps = _steps(document)
    lines = [*_header(document, steps, style), ""]
    lines += _step_lines(steps, document, style)
    checks = document.get("checks")
    if isinstance(checks, list):
        lines += ["", *live_findings(checks, style)]
    lines += _where_lines(document.get("endpoints"), style)
    if isinstance(document.get("records"), dict):
        from contextcore_install.ui.records import records_lines

        told = records_lines(document["records"], style)
        lines += ["", *told] if told else []
    return "\n".join([*lines, "", *_next_lines(document, style, commands)])


def _where_lines(endpoints: object, style: Style) -> list[str]:
    """Return where each component is reached; addresses are never cut, so that they can be copied."""
    ways = [way for way in endpoints if _is_mapping(way)] if isinstance(endpoints, list) else []
    if not ways:
        return []
    lines = ["", style.line(("Where", "strong"))]
    for way in ways:
        name, url = sanitize(way.get("component", ""), 40), sanitize(way.get("url", ""), 200)
        down = way.get("answers") is False
        note = ("  does not answer", "bad") if down else ("", "")
        lines.append(style.line(f"  {name:<8} ", (url, "" if down else "busy"), note, whole=True))
    return lines


def live_findings(checks: Sequence[Any], style: Style) -> list[str]:
    """Return what the steps' checks found now: a line for each step, its findings with their remedies below."""
    checks = [check for check in checks if _is_mapping(check)]
    fine = sum(bool(check.get("satisfied")) for check in checks)
    lines = [style.line(("Checked now", "strong"), f"  {fine} of {count(len(checks), 'step')} as it should be")]
    rows: list[tuple[Span, ...]] = []
    for check in checks:
        satisfied = bool(check.get("satisfied"))
        summary = sanitize(check.get("summary", "")) or ("as it should be" if satisfied else "")
        found = _findings(check)
        if not satisfied and not summary:
            summary = count(len(found), "finding")
        mark = style.mark("done" if satisfied else "failed")
        rows.append((mark, (sanitize(check.get("id", ""), 60), ""), (summary, "faint" if satisfied else "")))
    for check, line in zip(checks, table(style, rows, gap=1), strict=True):
        lines.append(line)
        for finding in _findings(check):
            lines += finding_lines(finding, style)
    return lines


def finding_lines(finding: Mapping[str, Any], style: Style, indent: int = 4) -> list[str]:
    """Return a finding: what is wrong, what shows it, and what to do about it."""
    mark = style.mark("finding")
    lead: list[Span] = [(" " * indent, ""), mark, (" ", "")]
    tone = "warn" if finding.get("warning") else ""
    lines = style.paragraph(sanitize(finding.get("message", "")), first=lead, indent=indent + 2, tone=tone)
    for seen in sanitize_lines(str(finding.get("evidence") or ""), EVIDENCE_LINES):
        lines += style.paragraph(seen, indent=indent + 2, tone="faint")
    remedy = finding.get("remedy")
    if isinstance(remedy, dict) and (finding.get("warning") or not _heals_itself(remedy)):
        hint = remedy.get("command") or remedy.get("summary", "")
        lines += hint_lines(style, hint, label=style.symbol("then") + " ", indent=indent + 2)
    return lines


def _heals_itself(remedy: Mapping[str, Any]) -> bool:
    """Whether the next run carries a remedy out, so that nothing but that run is to be typed."""
    return bool(remedy.get("automatic")) and remedy.get("risk") != "loses-data"


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _steps(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = document.get("steps")
    return [step for step in steps if _is_mapping(step)] if isinstance(steps, list) else []


def _findings(check: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    findings = check.get("findings")
    return [finding for finding in findings if _is_mapping(finding)] if isinstance(findings, list) else []


def _header(document: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    overall = str(document.get("overall", ""))
    words, tone = _OVERALL.get(overall, (sanitize(overall, 40), ""))
    if overall == "complete" and _is_broken_now(document):
        words, tone = "installed, and broken now", "bad"
    spans: list[Span] = [(sanitize(document.get("cluster") or "", 63), "strong")]
    if document.get("provider"):
        spans.append((f" on {sanitize(document['provider'], 40)}", ""))
    spans += [(": ", ""), (words, tone)]
    if overall != "not_installed":
        done = sum(step.get("status") == "completed" for step in steps)
        spans.append((f", {done} of {count(len(steps), 'step')} done", ""))
    when = _when(document.get("updated_at"))
    lines = [style.line(*spans)]
    if when:
        text = f"last change {when} UTC"
        lines.append(style.line((text + _who(document), "faint")))
    return lines


def _is_broken_now(document: Mapping[str, Any]) -> bool:
    """Whether the checks that were made just now found anything, or a component does not answer."""
    checks, ways = document.get("checks"), document.get("endpoints")
    unsatisfied = isinstance(checks, list) and any(
        _is_mapping(check) and not check.get("satisfied") for check in checks
    )
    silent = isinstance(ways, list) and any(_is_mapping(way) and way.get("answers") is False for way in ways)
    return unsatisfied or silent


def _who(document: Mapping[str, Any]) -> str:
    """Return who is at work, where a run is under way."""
    run = document.get("run")
    holder = run.get("holder") if isinstance(run, dict) else None
    if not isinstance(holder, dict):
        return ""
    host = sanitize(holder.get("host", ""), 60)
    return f", by process {sanitize(holder.get('pid', '?'), 12)}" + (f" on {host}" if host else "")


def _step_lines(steps: Sequence[Mapping[str, Any]], document: Mapping[str, Any], style: Style) -> list[str]:
    running = document.get("overall") == "running"
    lines: list[str] = []
    rows = table(style, [_row(step, style, running) for step in steps], dispensable=(4, 3, 2))
    for step, line in zip(steps, rows, strict=True):
        lines.append(line)
        error = step.get("error")
        if isinstance(error, dict):
            message = sanitize(error.get("message", "")) or sanitize(error.get("code", ""))
            lines += style.paragraph(message, indent=6, tone="bad")
            lines += hint_lines(style, error.get("hint", ""), label=style.symbol("then") + " ", indent=6)
    return lines


def _row(step: Mapping[str, Any], style: Style, running: bool) -> tuple[Span, ...]:
    status = str(step.get("status", ""))
    symbol, tone = _STEP.get(status, ("waiting", ""))
    if status == "in_progress" and not running:
        status, symbol, tone = "interrupted", "stopped", "warn"
    if status == "pending":  # what was done of it once is undone, or does not count any more
        step = {"id": step.get("id", "")}
    attempts = step.get("attempts")
    tries = f"{attempts} tries" if isinstance(attempts, int) and attempts > 1 else ""
    return (
        (f"{style.symbol(symbol)} {sanitize(step.get('id', ''), 60)}", tone if status != "pending" else "faint"),
        (status.replace("_", " "), tone),
        (sanitize(tries, 20), "faint"),
        (duration(step.get("duration_seconds")), "faint"),
        (_when(step.get("completed_at") or step.get("started_at")), "faint"),
    )


def _when(time: object) -> str:
    """Return an RFC 3339 time in UTC as people read it."""
    text = sanitize(time or "", 40)
    return text.removesuffix("Z").replace("T", " ", 1)


def _next_lines(document: Mapping[str, Any], style: Style, commands: Commands) -> list[str]:
    ways = list(following(str(document.get("overall", ""))))
    checks = document.get("checks")
    if isinstance(checks, list):
        ways = [way for way in ways if way[0] != LOOK_NOW]
        fine = all(check.get("satisfied") for check in checks if _is_mapping(check))
        if not fine:  # it is known to be broken, and what heals it
            ways.sort(key=lambda way: way[0] != REPAIR)
    return next_lines([(commands(*words), meaning) for words, meaning in ways], style)


def following(overall: str) -> Sequence[tuple[tuple[str, ...], str]]:
    """Return what to type next where an installation stands there: the words of a command, and what it does."""
    return _NEXT.get(overall, _CARRY_ON)


def next_lines(typed: Sequence[tuple[str, str]], style: Style, label: str = "Next") -> list[str]:
    """Return commands to type with what they do; the commands are never cut, so that they can be copied."""
    widest = max((len(command) for command, _ in typed), default=0)
    lines = []
    for index, (command, meaning) in enumerate(typed):
        lead = (label if index == 0 else "").ljust(len(label) + 2)
        room = style.width - len(lead) - widest - 2
        spans: list[Span | str] = [(lead, "strong"), (command.ljust(widest) if meaning else command, "busy")]
        if len(meaning) <= room:
            spans.append(("  " + meaning, "faint"))
        lines.append(style.line(*spans, whole=True))
    return lines
