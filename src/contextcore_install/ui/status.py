"""The status of an installation for people, from the document that `--output json` prints: quick, so light imports."""

from __future__ import annotations

from contextcore_install.core.text import count
from contextcore_install.ui.hints import Commands, hint_lines
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import duration, sanitize, sanitize_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from contextcore_install.core.findings import CheckResult, Finding

_OVERALL = {"not_installed": "nothing is installed", "running": "a run is under way"}
_TONES = {"not_installed": "", "running": "busy", "complete": "good", "failed": "bad"}
_STEP = {"pending": "waiting", "in_progress": "running", "completed": "done", "failed": "failed"}
_CHECK, _REPAIR = "--status --live", "--repair"
_NEXT = {
    "not_installed": {"": "installs"},
    "running": {
        "--attach": "watches it here",
        "--status": "again",
        "dashboard --open": "shows it on a page",
        "logs": "shows what its commands print",
    },
    "complete": {_CHECK: "how it is now, and its URLs", "verify": "checks everything", _REPAIR: "fixes what is broken"},
    "failed": {"--resume": "carries on from there", _REPAIR: "checks everything, and fixes it"},
    "interrupted": {"--resume": "carries on from there"},
    "incomplete": {"--resume": "carries on from there"},
}
_COUNTS = {"cluster": "the cluster's are newer, and count", "file": "this machine's are newer, and count"}
_SEEN = {None: "not known", True: "as it should be", False: "not as it should be"}
PLACES_LAST = "manifests_apply"  # the step after which programs and images are where they belong
EVIDENCE_LINES = 8  # how much of what shows a finding or an error is shown; the rest is in the log


def render_status(
    document: Mapping[str, Any],
    style: Style,
    commands: Commands | None = None,
    checks: Mapping[str, CheckResult] | None = None,
) -> str:
    """Return the status; lines are cut, but for commands to type. `checks` are what the checks found now, if asked."""
    commands = commands or Commands(cluster=sanitize(document["cluster"]))
    endpoints = document.get("endpoints", ())
    all_fine = all(result.satisfied for result in (checks or {}).values())
    broken = not all_fine or any(each.get("answers") is False for each in endpoints)
    lines = [*_header(document, style, broken=broken), "", *_step_lines(document, style)]
    if checks is not None:
        lines += ["", *live_findings(checks, style)]
    if endpoints:
        lines += ["", style.line(("Where", "strong")), *(_where(each, style) for each in endpoints)]
    if told := _records(document.get("records", {}), style):
        lines += ["", *told]
    if not any(step["id"] == PLACES_LAST and step["status"] == "completed" for step in document["steps"]):
        commands = commands.not_placed()
    ways = following(document["overall"], commands, checked=checks is not None, broken=not all_fine)
    return "\n".join([*lines, "", *next_lines(ways, style)])


def _where(endpoint: Mapping[str, Any], style: Style) -> str:
    """Return where a component is reached; addresses are never cut, so that they can be copied."""
    url, silent = sanitize(endpoint["url"], 200), endpoint.get("answers") is False
    spans = [(url, ""), ("  does not answer", "bad")] if silent else [(url, "busy")]
    return style.line(f"  {sanitize(endpoint['component'], 40):<8} ", *spans, whole=True)


def live_findings(checks: Mapping[str, CheckResult], style: Style) -> list[str]:
    """Return what the steps' checks found now: a line for each step, its findings with their remedies below."""
    fine = sum(result.satisfied for result in checks.values())
    lines = [style.line(("Checked now", "strong"), f"  {fine} of {count(len(checks), 'step')} as it should be")]
    rows: list[tuple[Span, ...]] = []
    for step, result in checks.items():
        otherwise = "as it should be" if result.satisfied else count(len(result.findings), "finding")
        summary = sanitize(result.summary) or otherwise
        mark, tone = style.mark("done" if result.satisfied else "failed"), "faint" if result.satisfied else ""
        rows.append((mark, (sanitize(step, 60), ""), (summary, tone)))
    for result, line in zip(checks.values(), table(style, rows, gap=1), strict=True):
        lines += [line, *(each for finding in result.findings for each in finding_lines(finding, style))]
    return lines


def finding_lines(finding: Finding, style: Style, indent: int = 4) -> list[str]:
    """Return a finding: what is wrong, what shows it, and what to do about it."""
    tone, remedy = "warn" if finding.warning else "", finding.remedy
    lines = style.marked("finding", sanitize(finding.message), indent=indent, tone=tone)
    for seen in sanitize_lines(finding.evidence, EVIDENCE_LINES):
        lines += style.paragraph(seen, indent=indent + 2, tone="faint")
    if remedy and (finding.warning or not remedy.is_unasked):
        hint = remedy.advice
        lines += hint_lines(style, hint, label=style.symbol("then") + " ", indent=indent + 2)
    return lines


def _header(document: Mapping[str, Any], style: Style, *, broken: bool) -> list[str]:
    overall, steps = document["overall"], document["steps"]
    words, tone = _OVERALL.get(overall, overall), _TONES.get(overall, "warn")
    if overall == "complete" and broken:
        words, tone = "installed, and broken now", "bad"
    spans: list[Span] = [(sanitize(document["cluster"], 63), "strong")]
    if document["provider"]:
        spans.append((f" on {sanitize(document['provider'], 40)}", ""))
    spans += [(": ", ""), (words, tone)]
    if overall != "not_installed":
        done = sum(step["status"] == "completed" for step in steps)
        spans.append((f", {done} of {count(len(steps), 'step')} done", ""))
    lines = [style.line(*spans)]
    if when := _when(document["updated_at"]):
        text = f"last change {when} UTC"
        if holder := document["run"].get("holder"):
            host = sanitize(holder.get("host", ""), 60)
            text += f", by process {sanitize(holder.get('pid', '?'), 12)}" + (f" on {host}" if host else "")
        lines.append(style.line((text, "faint")))
    return lines


def _step_lines(document: Mapping[str, Any], style: Style) -> list[str]:
    steps, running = document["steps"], document["overall"] == "running"
    lines: list[str] = []
    rows = table(style, [_row(step, style, running) for step in steps], dispensable=(4, 3, 2))
    for step, line in zip(steps, rows, strict=True):
        lines.append(line)
        if error := step["error"]:
            message = sanitize(error.get("message", "")) or sanitize(error.get("code", ""))
            lines += style.paragraph(message, indent=6, tone="bad")
            lines += hint_lines(style, error.get("hint", ""), label=style.symbol("then") + " ", indent=6)
    return lines


def _row(step: Mapping[str, Any], style: Style, running: bool) -> tuple[Span, ...]:
    status = step["status"]
    symbol, tone = style.mark(_STEP[status])
    if status == "in_progress" and not running:
        status, symbol, tone = "interrupted", style.symbol("stopped"), "warn"
    if status == "pending":  # what was done of it once is undone, or does not count any more
        step = {**step, "attempts": 0, "duration_seconds": None, "completed_at": None, "started_at": None}
    return (
        (f"{symbol} {sanitize(step['id'], 60)}", tone),
        (status.replace("_", " "), tone),
        (f"{step['attempts']} tries" if step["attempts"] > 1 else "", "faint"),
        (duration(step["duration_seconds"]), "faint"),
        (_when(step["completed_at"] or step["started_at"]), "faint"),
    )


def _when(time: str | None) -> str:
    """Return an RFC 3339 time in UTC as people read it."""
    return sanitize(time or "", 40).removesuffix("Z").replace("T", " ", 1)


def _records(records: Mapping[str, Any], style: Style) -> list[str]:
    """Return how this machine's records and the cluster's differ; nothing if they agree and nobody else is at work."""
    lines: list[str] = []
    if lease := records.get("lease"):
        text = f"Another machine has the lease: {sanitize(lease.get('host', '?'), 60)}"
        lines += style.paragraph(f"{text}, since {sanitize(lease.get('since', '?'), 40)}", tone="warn")
    if records.get("trouble"):
        lines += style.paragraph(f"The cluster's records: {sanitize(records['trouble'])}", tone="warn")
    if not records.get("differ"):
        return lines
    whose = f"{_COUNTS[records['counts']]}; the cluster's are of {sanitize(records['cluster']['host'], 60)}"
    lines.append(style.line(("Records differ", "strong"), f"  {whose}"))
    rows = [_record(step) for step in records["steps"]]
    return [*lines, *table(style, rows, head=("  step", "this machine", "cluster", "live"))]


def _record(step: Mapping[str, Any]) -> tuple[Span, ...]:
    here, there = (sanitize(step.get(side) or "nothing", 20).replace("_", " ") for side in ("file", "cluster"))
    tone, seen = "" if here == there else "warn", _SEEN[step.get("live")]
    return ("  " + sanitize(step.get("id", ""), 60), ""), (here, tone), (there, tone), (seen, "")


def following(
    overall: str, commands: Commands, *, checked: bool = False, broken: bool = False
) -> list[tuple[str, str]]:
    """Return what to type next, and what it does: not again what was `checked`; first what heals, if `broken`."""
    ways = [way for way in _NEXT[overall].items() if not (checked and way[0] == _CHECK)]
    if broken:
        ways.sort(key=lambda way: way[0] != _REPAIR)
    return [(commands(*words.split()), does) for words, does in ways]


def next_lines(typed: Sequence[tuple[str, str]], style: Style) -> list[str]:
    """Return commands to type with what they do; the commands are never cut, so that they can be copied."""
    widest = max((len(command) for command, _ in typed), default=0)
    lines = []
    for index, (command, meaning) in enumerate(typed):
        spans: list[Span] = [("      " if index else "Next  ", "strong"), (command.ljust(widest), "busy")]
        if len(meaning) <= style.width - 6 - widest - 2:
            spans.append(("  " + meaning, "faint"))
        lines.append(style.line(*spans, whole=True))
    return lines
