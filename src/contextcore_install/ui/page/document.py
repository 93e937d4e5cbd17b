"""The page: one HTML file, drawn from a bounded JSON document, whose sections are sent again when they change."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.findings import Remedy, finding_from_document
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.state import State
from contextcore_install.engine.status import overall
from contextcore_install.ui.hints import Commands, is_command
from contextcore_install.ui.page.timeline import RunTimeline
from contextcore_install.ui.status import PLACES_LAST, following
from contextcore_install.ui.text import LIMIT, sanitize

PAGE_SCHEMA = "contextcore-install/page/v1"
LOG_LINES, LOG_LINE_LIMIT = 200, 500
HISTORY_ROWS = 50  # rows of the history that the page has from the first moment; it asks for older ones
MOST_REQUIREMENTS, MOST_ITEMS, DEEPEST = 200, 2_000, 12
_GOING = {"install": "Installing", "resume": "Carrying on", "repair": "Repairing", "delete": "Removing"}
_SCRIPTS = ("elements", "words", "sections", "history", "app", "live")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is known of an installation at one moment. Times are microseconds since 1970."""

    state: State
    story: RunTimeline
    commands: Commands
    titles: Mapping[str, str]
    program_version: str
    live: bool = False
    rows: Sequence[Mapping[str, Any]] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    requirements: Sequence[Mapping[str, Any]] = ()
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    where: Mapping[str, Any] | None = None
    notices: Sequence[str] = ()


def sections(facts: PageFacts, hidden: Redaction | None = None) -> dict[str, Any]:
    """Return the document's sections; `hidden` takes out what others are not to see."""
    made: dict[str, Any] = {
        "head": _head(facts),
        "steps": [_step(facts, step) for step in facts.state.planned],
        "run": run_section(facts.story, facts.commands, live=facts.live) if facts.story.run_id else None,
        "requirements": list(facts.requirements)[:MOST_REQUIREMENTS],
        "where": facts.where,
        "history": history(facts.rows, len(facts.rows), HISTORY_ROWS, live=facts.live),
    }
    for step in facts.titles:
        made[f"log.{step}"] = log_lines(facts.logs.get(step, ()), hidden)
    return {name: bounded(section, hidden) for name, section in made.items()}


def history(
    rows: Sequence[Mapping[str, Any]], before: int, most: int, hidden: Redaction | None = None, *, live: bool
) -> dict[str, Any]:
    """Return up to `most` runs before the index `before`, the latest first, and how many there are in all."""
    shown = []
    for at in range(before - 1, max(0, before - most) - 1, -1):
        row, going = rows[at], live and at == len(rows) - 1
        facts = {name: row.get(name) for name in ("run_id", "mode", "started_at", "failed_step")}
        outcome = row.get("outcome") or ("running" if going else "cut off")
        facts |= {"number": at + 1, "seconds": row.get("duration_seconds"), "outcome": outcome}
        shown.append(bounded(facts, hidden))
    return {"total": len(rows), "rows": shown}


def run_section(story: RunTimeline, commands: Commands, *, live: bool) -> dict[str, Any]:
    document = story.as_document(live=live)
    return document | {"problems": [_problem(found, commands) for found in document["problems"]]}


def log_lines(lines: Sequence[str], hidden: Redaction | None) -> list[str]:
    """Return the end of a log. Secrets are looked for in all lines at once: a private key has many."""
    text = "\n".join(line[: 4 * LOG_LINE_LIMIT] for line in lines[-LOG_LINES:])
    text = hidden.text(text) if hidden else text
    return [sanitize(line, LOG_LINE_LIMIT) for line in text.split("\n")] if text else []


def bounded(value: Any, hidden: Redaction | None = None, depth: int = 0) -> Any:
    """Return a JSON value with every text sanitized and cut, and nothing endless in it."""
    if isinstance(value, str):
        text = value[: 8 * LIMIT]
        return sanitize(hidden.text(text) if hidden else text, 2 * LIMIT)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) < 1e18 else None
    if depth < DEEPEST and isinstance(value, Mapping):
        items = list(value.items())[:MOST_ITEMS]
        return {_name(key): bounded(item, hidden, depth + 1) for key, item in items}
    if depth < DEEPEST and isinstance(value, list | tuple):
        return [bounded(item, hidden, depth + 1) for item in value[:MOST_ITEMS]]
    return sanitize(value, LIMIT)


@lru_cache(maxsize=512)  # thousands of rows have the same
def _name(key: object) -> str:
    return sanitize(key, 80)


def _head(facts: PageFacts) -> dict[str, Any]:
    state, story = facts.state, facts.story
    standing = overall(state, live=facts.live)
    tone, headline, detail = _headline(facts, standing)
    known = facts.where["endpoints"] if facts.where and standing == "complete" else ()
    down = [str(item["component"]) for item in known if isinstance(item, Mapping) and item.get("answers") is False]
    if down:  # though it should answer, as the installation is complete
        tone, headline = "bad", f"{' and '.join(down)} {'does' if len(down) == 1 else 'do'} not answer"
        detail = "Every step was done, and something has broken since."
    placed = state.step(PLACES_LAST).status == "completed"
    return {
        "cluster": state.cluster_name,
        "provider": state.provider,
        "overall": standing,
        "tone": tone,
        "headline": headline,
        "detail": detail,
        "next": following(standing, facts.commands if placed else facts.commands.not_placed(), broken=bool(down)),
        "done": sum(step.status == "completed" for step in state.planned.values()),
        "total": len(state.planned),
        "live": facts.live,
        "began_us": story.began_us,
        "last_us": story.last_us,
        "verified_at": state.verified_at,
        "program_version": facts.program_version,
        "notices": list(facts.notices)[:20],
    }


def _headline(facts: PageFacts, standing: str) -> tuple[str, str, str]:
    """Return the tone, the headline and a sentence about how the installation stands."""
    story = facts.story
    lost = bool(story.run_id) and not story.finished and not facts.live
    untold = "The latest run ended unexpectedly: it was killed, or the power failed."
    match standing:
        case "not_installed":
            return "idle", "Nothing is installed yet", "This page shows a run as soon as one begins."
        case "running":
            going = ", ".join(title for step, title in facts.titles.items() if story.running(step))
            return "busy", _GOING.get(story.mode, "A run is under way") + (f": {going}" if going else ""), ""
        case "complete":
            return "good", "Complete", untold if lost else "Every step is done."
        case "failed":
            failed = facts.state.failed
            names = ", ".join(facts.titles.get(step, step) for step in failed)
            error = facts.state.steps[failed[0]].error or {}
            return "bad", f"Failed: {names}", untold if lost else str(error.get("message", ""))
        case "interrupted" if lost:
            return "warn", "Ended unexpectedly", f"{untold} What was done is kept."
        case "interrupted":
            why = f" ({story.reason})" if story.reason else ""
            return "warn", "Interrupted", f"The latest run was told to end{why}. What was done is kept."
    return "warn", "Incomplete", "Some steps are still to be done."


def _step(facts: PageFacts, step: str) -> dict[str, Any]:
    known = facts.state.steps[step]
    status, bar = known.status, facts.story.running(step)
    if status == "in_progress" and not facts.live:
        status = "stopped"
    return {
        "id": step,
        "title": facts.titles.get(step, step),
        "status": status,
        "attempts": known.attempts,
        "seconds": known.duration_seconds,
        "usual": facts.usual.get(step),
        "completed_at": known.completed_at,
        "began_us": bar.began_us if bar and status == "in_progress" else None,
        "error": str(known.error.get("message", "")) if known.error else "",
    }


def _problem(found: Mapping[str, Any], commands: Commands) -> dict[str, Any]:
    """Return an error or a finding with its remedy in words and as a command to type."""
    finding = finding_from_document(found)
    remedy = finding.remedy or Remedy("")
    hint = commands.typed(str(found.get("hint", "")) or remedy.command)
    command = hint if is_command(hint) else ""
    return {
        "step": found["step"],
        "code": finding.code,
        "message": finding.message,
        "evidence": finding.evidence,
        "remedy": remedy.summary or ("" if command else hint),
        "command": command,
        "risk": remedy.risk if finding.remedy else "",
        "warning": finding.warning,
        "quiet": bool(found.get("healed")) or remedy.automatic,
    }


def render(document: Mapping[str, Any], *, live: bool, footer: str) -> str:
    """Return the page. `live` says that a server stands behind it, which tells of what changes.

    `document` holds `now_us` and the `sections` of document.sections; a report also holds `runs` (details by run id).
    """
    head = document["sections"]["head"]
    cluster = str(head["cluster"])
    places = {
        "live": "yes" if live else "no",
        "policy": escape(policy()),
        "title": escape(f"{cluster} on {head['provider']}" if head["provider"] else cluster),
        "style": _asset("page.css"),
        "script": _script(),
        "summary": _without_scripts(document["sections"]),
        "footer": escape(footer),
        "document": in_html({"schema": PAGE_SCHEMA, **document}),
    }
    return _PLACE.sub(lambda place: places[place[1]], _asset("page.html"))


@cache
def policy() -> str:
    """Return the Content-Security-Policy (level 3, 2.3.1): our style and scripts by hash, questions to our server."""
    script, style = (
        f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (_script(), _asset("page.css"))
    )
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)


def in_html(value: object) -> str:
    """Return a value as JSON that ends no script element and begins no comment (HTML, section 4.12.1.3)."""
    return as_json(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script() -> str:
    """Return the scripts as one, with names of their own."""
    modules = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{modules}}})();\n'


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name("assets").joinpath(name).read_text(encoding="utf-8")


def _without_scripts(sections: Mapping[str, Any]) -> str:
    """Return what a browser without scripts shows."""
    head = sections["head"]
    steps = ""
    for step in sections["steps"]:
        error = f" - {escape(str(step['error']))}" if step["error"] else ""
        steps += f"<li>{escape(str(step['title']))}: {escape(str(step['status']).replace('_', ' '))}{error}</li>"
    typed = "".join(f"<li><code>{escape(str(text))}</code> {escape(str(what))}</li>" for text, what in head["next"])
    return (
        f"<section><h2>{escape(str(head['headline']))}</h2><p>{escape(str(head['detail']))}</p>"
        f"<ol>{steps}</ol><p>Next:</p><ul>{typed}</ul><p>With scripts this page shows more.</p></section>"
    )
