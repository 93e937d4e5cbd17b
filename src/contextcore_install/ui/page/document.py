"""What the page is drawn from: one JSON document in sections, so that only what changed is sent again.

Every text in it was made harmless and cut, and lists are bounded: its size does not hang on what a log or a name holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.state import State
from contextcore_install.engine.status import overall
from contextcore_install.ui.hints import Commands, is_command
from contextcore_install.ui.page.story import RunStory
from contextcore_install.ui.status import REPAIR, following
from contextcore_install.ui.text import LIMIT, sanitize

PAGE_SCHEMA = "contextcore-install/page/v1"
LOG_LINES, LOG_LINE_LIMIT = 200, 500
HISTORY_ROWS = 50
"""Rows of the history that the page has from the first moment; it asks for older ones."""

MOST_REQUIREMENTS, MOST_ITEMS, DEEPEST = 200, 2_000, 12

_GOING = {
    "install": "Installing", "resume": "Carrying on", "repair": "Repairing", "delete": "Removing",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is known of an installation at one moment. Times are microseconds since 1970."""

    state: State
    story: RunStory
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
        "steps": _steps(facts),
        "run": run_section(facts.story, facts.commands, live=facts.live) if facts.story.run_id else None,
        "requirements": list(facts.requirements)[:MOST_REQUIREMENTS],
        "where": facts.where,
        "history": history(facts.rows, len(facts.rows), HISTORY_ROWS, live=facts.live),
    }
    for step in facts.titles:
        made[f"log.{step}"] = log_lines(facts.logs.get(step, ()), hidden)
    return {name: bounded(section, hidden) for name, section in made.items()}


def history(rows: Sequence[Mapping[str, Any]], before: int, most: int, *, live: bool) -> dict[str, Any]:
    """Return up to `most` runs before the index `before`, the latest first, and how many there are in all."""
    first = max(0, before - most)
    last = len(rows) - 1
    shown = [_summary(rows[index], index, live and index == last) for index in range(first, before)]
    return {"total": len(rows), "rows": shown[::-1]}


def run_section(story: RunStory, commands: Commands, *, live: bool) -> dict[str, Any]:
    """Return a run with what is to be typed for each of its problems."""
    document = story.as_document(live=live)
    document["problems"] = [_problem(found, commands) for found in document["problems"]]
    return document


def log_lines(lines: Sequence[str], hidden: Redaction | None) -> list[str]:
    """Return the end of a log. Secrets are looked for in all lines at once: a private key has many."""
    text = "\n".join(line[: 4 * LOG_LINE_LIMIT] for line in lines[-LOG_LINES:])
    if hidden:
        text = hidden.text(text)
    return [sanitize(line, LOG_LINE_LIMIT) for line in text.split("\n")] if text else []


def bounded(value: Any, hidden: Redaction | None = None, depth: int = 0) -> Any:
    """Return a JSON value with every text harmless and cut, and nothing endless in it."""
    if isinstance(value, str):
        text = value[: 8 * LIMIT]
        return sanitize(hidden.text(text) if hidden else text, 2 * LIMIT)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) < 1e18 else None
    if depth < DEEPEST and isinstance(value, Mapping):
        items = list(value.items())[:MOST_ITEMS]
        return {sanitize(key, 80): bounded(item, hidden, depth + 1) for key, item in items}
    if depth < DEEPEST and isinstance(value, list | tuple):
        return [bounded(item, hidden, depth + 1) for item in value[:MOST_ITEMS]]
    return sanitize(value, LIMIT)


def _head(facts: PageFacts) -> dict[str, Any]:
    state, story = facts.state, facts.story
    standing = overall(state, live=facts.live)
    tone, headline, detail = _HEADLINES[standing](facts)
    ways = list(following(standing))
    if down := _down(facts):
        tone, headline = "bad", f"{' and '.join(down)} {'does' if len(down) == 1 else 'do'} not answer"
        detail = "Every step was done, and something has broken since."
        ways.sort(key=lambda way: way[0] != REPAIR)
    return {
        "cluster": state.cluster_name,
        "provider": state.provider,
        "overall": standing,
        "tone": tone,
        "headline": headline,
        "detail": detail,
        "next": [[facts.commands(*words), meaning] for words, meaning in ways],
        "done": sum(step.status == "completed" for step in state.planned.values()),
        "total": len(state.planned),
        "live": facts.live,
        "began_us": story.began_us,
        "last_us": story.last_us,
        "verified_at": state.verified_at,
        "program_version": facts.program_version,
        "notices": list(facts.notices)[:20],
    }


def _down(facts: PageFacts) -> list[str]:
    """Return the components that should answer, as the installation is complete, and do not."""
    if not facts.where or overall(facts.state, live=facts.live) != "complete":
        return []
    known = (item for item in facts.where["endpoints"] if isinstance(item, Mapping))
    return [str(item["component"]) for item in known if item.get("answers") is False]


def _without_a_word(facts: PageFacts) -> bool:
    return bool(facts.story.run_id) and not facts.story.finished and not facts.live


_UNTOLD = "The latest run ended without a word: it was killed, or the power failed."


def _running(facts: PageFacts) -> tuple[str, str, str]:
    going = [title for step, title in facts.titles.items() if facts.story.running(step)]
    verb = _GOING.get(facts.story.mode, "A run is under way")
    return "busy", verb + (f": {', '.join(going)}" if going else ""), ""


def _failed(facts: PageFacts) -> tuple[str, str, str]:
    failed = facts.state.failed
    where = ", ".join(facts.titles.get(step, step) for step in failed)
    error = (facts.state.steps[failed[0]].error or {}) if failed else {}
    return "bad", f"Failed: {where}", _UNTOLD if _without_a_word(facts) else str(error.get("message", ""))


def _interrupted(facts: PageFacts) -> tuple[str, str, str]:
    if _without_a_word(facts):
        return "warn", "Ended without a word", f"{_UNTOLD} What was done is kept."
    why = f" ({facts.story.reason})" if facts.story.reason else ""
    return "warn", "Interrupted", f"The latest run was told to end{why}. What was done is kept."


def _complete(facts: PageFacts) -> tuple[str, str, str]:
    detail = _UNTOLD if _without_a_word(facts) else "Every step is done."
    return "good", "Complete", detail


def _nothing(_: PageFacts) -> tuple[str, str, str]:
    return "idle", "Nothing is installed yet", "This page shows a run as soon as one begins."


def _incomplete(_: PageFacts) -> tuple[str, str, str]:
    return "warn", "Incomplete", "Some steps are still to be done."


_HEADLINES: Mapping[str, Callable[[PageFacts], tuple[str, str, str]]] = {
    "not_installed": _nothing,
    "running": _running,
    "complete": _complete,
    "failed": _failed,
    "interrupted": _interrupted,
    "incomplete": _incomplete,
}
"""For each standing of the installation: the tone, the headline and a sentence."""


def _steps(facts: PageFacts) -> list[dict[str, Any]]:
    return [_step(facts, step) for step in facts.state.planned]


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
    remedy = found.get("remedy")
    known: Mapping[str, Any] = remedy if isinstance(remedy, Mapping) else {}
    hint = commands.typed(str(found.get("hint", "") or known.get("command", "")))
    command = hint if is_command(hint) else ""
    return {
        "step": found["step"],
        "code": found.get("code", ""),
        "message": found.get("message", ""),
        "evidence": found.get("evidence", ""),
        "remedy": str(known.get("summary", "")) or ("" if command else hint),
        "command": command,
        "risk": known.get("risk", ""),
        "warning": bool(found.get("warning")),
        "quiet": bool(found.get("healed") or known.get("automatic")),
    }


def _summary(row: Mapping[str, Any], index: int, live: bool) -> dict[str, Any]:
    """Return a row of the history, numbered from 1."""
    return {
        "number": index + 1,
        "run_id": row.get("run_id"),
        "mode": row.get("mode"),
        "started_at": row.get("started_at"),
        "seconds": row.get("duration_seconds"),
        "outcome": row.get("outcome") or ("running" if live else "cut off"),
        "failed_step": row.get("failed_step"),
    }
