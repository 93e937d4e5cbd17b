"""The last lines of a run, for people: what runs where, what failed and why, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.provider import Overview
from contextcore_install.ui.hints import Commands, hint_lines
from contextcore_install.ui.status import next_lines
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.text import cells, count, duration, pad, sanitize, sanitize_lines

EVIDENCE_LINES = 8
"""How much of what was seen is shown; the rest is in the log."""

TRACE_LINES = 60
"""For a bug the whole of it is wanted."""

LEAST_PROGRAM = 12
"""With less room than this, the program behind a component is not shown."""

INSTALL_TOOLS = "--install-tools"
"""The flag without which carrying on fails again, if an error says that it helps."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended: where, how long it took in seconds, and whether it had anything to do."""

    cluster: str
    provider: str = ""
    seconds: float | None = None
    nothing_to_do: bool = False
    waited: bool = True

    @property
    def place(self) -> str:
        """The installation in words."""
        name = sanitize(self.cluster, 63)
        return f"{name} on {sanitize(self.provider, 40)}" if self.provider else name


def render_success(ended: Ended, overview: Overview, style: Style, commands: Commands) -> str:
    """Return what runs where, what is missing and how to get it, how to look, and what to type next."""
    took = duration(ended.seconds)
    if not ended.waited:
        return _not_waited(ended, style, commands)
    if ended.nothing_to_do:
        return _up_to_date(ended, overview, style, commands)
    mark: list[Span] = [style.mark("done"), (" ", "")]
    text = f"{ended.place} is up and running" + (f" ({took})" if took else "") + "."
    lines = style.paragraph(text, first=mark, indent=2, tone="good")
    lines += _section("", _running(overview, style))
    lines += _absent(overview, style, commands)
    hints: list[str] = []
    for hint in overview.hints:
        hints += hint_lines(style, hint)
    lines += _section("How to look", hints)
    typed = [
        (commands("--status"), "where it stands"),
        (commands("dashboard", "--open"), "shows it on a page"),
        (commands("verify"), "checks everything"),
        (commands("--repair"), "fixes what broke"),
    ]
    return "\n".join([*lines, "", *next_lines(typed, style)])


def _up_to_date(ended: Ended, overview: Overview, style: Style, commands: Commands) -> str:
    """Return what, where and next: a line each."""
    took = duration(ended.seconds)
    mark: list[Span] = [style.mark("done"), (" ", "")]
    text = f"{ended.place} is up to date: nothing had to be done" + (f" ({took})" if took else "") + "."
    lines = style.paragraph(text, first=mark, indent=2, tone="good")
    if where := _where(overview, style):
        lines.append(style.line("  ", (where, "busy"), whole=True))
    return "\n".join([*lines, *next_lines([(commands("--status", "--live"), "how it is now")], style)])


def _where(overview: Overview, style: Style) -> str:
    """Return the address of the first component, Grafana's where it runs, and the ports of the others."""
    reached = sorted(overview.endpoints, key=lambda item: item.component != "grafana")
    if not reached:
        return ""
    first, *others = reached
    ports = (f"{sanitize(item.component, 40)} :{sanitize(item.base_url, 200).rpartition(':')[2]}" for item in others)
    start = f"{sanitize(first.component, 40)} {sanitize(first.base_url, 200)}"
    return style.symbol("dash").join([start, *ports])


def _not_waited(ended: Ended, style: Style, commands: Commands) -> str:
    mark: list[Span] = [style.mark("done"), (" ", "")]
    text = f"{ended.place} is put in place, and was not waited for: whether it works is not known yet."
    typed = [(commands("--resume"), "waits, and verifies"), (commands("--status"), "where it stands")]
    return "\n".join([*style.paragraph(text, first=mark, indent=2, tone="good"), "", *next_lines(typed, style)])


def render_failure(
    ended: Ended,
    errors: Mapping[str, InstallError],
    style: Style,
    commands: Commands,
    logs: Mapping[str, str] | None = None,
    ways: Sequence[tuple[str, str]] = (),
    bundle: str = "",
) -> str:
    """Return, for each failed step, what went wrong, what shows it, what to do and where its log is.

    `ways` are other commands that may lead to the end: what to type, and what it does. `bundle` is the file with all
    that helps to find out what is wrong.
    """
    lines: list[str] = []
    for step, error in errors.items():
        took = duration(ended.seconds)
        first = f"{sanitize(step, 60)} failed" + (f" after {took}" if took and len(errors) == 1 else "")
        lead: list[Span] = [style.mark("failed"), (" ", ""), (first + ": ", "strong")]
        lines += style.paragraph(sanitize(error.message), first=lead, indent=2, tone="bad")
        lines += _error_details(error, style)
        log = (logs or {}).get(step)
        if log:
            lines.append(style.line("  Log   ", sanitize(log, 4096), whole=True))
        lines.append("")
    if bundle:
        text = "For a bug report, redacted: look at it before you send it"
        lines += [*style.paragraph(text), style.line("  ", sanitize(bundle, 4096), whole=True), ""]
    tools = any(INSTALL_TOOLS in error.hint for error in errors.values())
    again = (commands("--resume", INSTALL_TOOLS), "gets what is missing, and carries on")
    typed = [
        again if tools else (commands("--resume"), "carries on from there"),
        *ways,
        (commands("--status"), "where it stands"),
        (commands("diagnose"), "looks closer, for a bug report"),
    ]
    return "\n".join([*lines, *next_lines(typed, style)])


def render_interrupted(
    ended: Ended, done: Sequence[str], total: int, style: Style, commands: Commands, reason: str = ""
) -> str:
    """Return what was done before the run was told to end, and how to carry on."""
    why = f" ({sanitize(reason, 80)})" if reason else ""
    took = duration(ended.seconds)
    mark: list[Span] = [style.mark("stopped"), (" ", "")]
    text = f"{ended.place} was interrupted{why}" + (f" after {took}" if took else "") + "; what is done is kept."
    lines = style.paragraph(text, first=mark, indent=2, tone="warn")
    names = ", ".join(sanitize(step, 60) for step in done)
    lines += style.paragraph(
        f"Done: {len(done)} of {count(total, 'step')}" + (f" ({names})" if names else ""), indent=2
    )
    return "\n".join([*lines, "", *next_lines([(commands("--resume"), "carries on from there")], style)])


def render_rolled_back(ended: Ended, undone: Sequence[str], kept: str, style: Style, commands: Commands) -> str:
    """Return what was taken back, where its data is, and what to type next."""
    took = duration(ended.seconds)
    mark: list[Span] = [style.mark("done"), (" ", "")]
    names = ", ".join(sanitize(step, 60) for step in undone)
    text = f"{ended.place}: {names} {'is' if len(undone) == 1 else 'are'} taken back ({took})."
    lines = style.paragraph(text, first=mark, indent=2, tone="good")
    lines += style.paragraph(sanitize(kept, 4096), indent=2)
    typed = [(commands("--resume"), "installs it again"), (commands("delete"), "removes the rest, records and data")]
    return "\n".join([*lines, "", *next_lines(typed, style)])


def render_error(error: InstallError, style: Style) -> str:
    """Return the error that ended a command before, or without, a run."""
    lead: list[Span] = [style.mark("failed"), (" ", "")]
    lines = style.paragraph(sanitize(error.message), first=lead, indent=2, tone="bad")
    return "\n".join(lines + _error_details(error, style))


def _error_details(error: InstallError, style: Style) -> list[str]:
    bug = error.code == "bug" or error.exit_code == ExitCode.BUG
    lines: list[str] = []
    if error.evidence and bug:
        # The indentation of a traceback is part of it; `line` makes it harmless.
        trace = error.evidence[-TRACE_LINES * 200 :].splitlines()[-TRACE_LINES:]
        lines += [style.line("  ", (text.expandtabs(4), "faint")) for text in trace]
    elif error.evidence:
        for text in sanitize_lines(error.evidence, EVIDENCE_LINES):
            lines += style.paragraph(text, first=[("  Seen  " if not lines else " " * 8, "")], indent=8, tone="faint")
    return lines + hint_lines(style, error.hint, label="Do    ")


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return ["", title, *lines] if title else ["", *lines]


def _running(overview: Overview, style: Style) -> list[str]:
    """Return a line for each component: its name, its address uncut, and the program behind it if there is room."""
    rows = [
        (sanitize(item.component, 40), sanitize(item.base_url, 200), _program(overview, item.component))
        for item in overview.endpoints
    ]
    known = {item.component for item in overview.endpoints}
    rows += [
        (sanitize(name, 40), "", sanitize(program, 80))
        for name, program in overview.programs.items()
        if name not in known
    ]
    names = max((cells(row[0]) for row in rows), default=0)
    addresses = max((cells(row[1]) for row in rows), default=0)
    lines = []
    for name, address, program in rows:
        room = style.width - 4 - names - addresses - 2
        spans: list[Span | str] = [("  " + pad(name, names), "strong"), ("  " + pad(address, addresses), "busy")]
        if room >= LEAST_PROGRAM:
            spans.append(("  " + style.fitted(program, room), "faint"))
        lines.append(style.line(*spans, whole=True))
    return lines


def _program(overview: Overview, component: str) -> str:
    return sanitize(overview.programs.get(component, ""), 80)


def _absent(overview: Overview, style: Style, commands: Commands) -> list[str]:
    """Return in one line what the installation goes without, and who says how to have it."""
    names = ", ".join(sanitize(item.component, 40) for item in overview.absent)
    if not names:
        return []
    text = f"Not installed: {names}; how to get them is shown by: {commands('verify')}"
    return ["", *hint_lines(style, text, indent=0)]
