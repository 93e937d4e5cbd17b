"""The last lines of a run, for people: what runs where, what failed and why, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.provider import Overview
from contextcore_install.core.text import count
from contextcore_install.ui.hints import Commands, hint_lines
from contextcore_install.ui.status import EVIDENCE_LINES, next_lines
from contextcore_install.ui.style import Span, Style, table
from contextcore_install.ui.text import duration, sanitize, sanitize_lines

TRACE_LINES = 60  # for a bug the whole of it is wanted
INSTALL_TOOLS = "--install-tools"  # the flag without which carrying on fails again, if an error says that it helps

_Ways = Sequence[tuple[str, str]]
"""Commands to type, each with what it does."""


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
        name = sanitize(self.cluster, 63)
        return f"{name} on {sanitize(self.provider, 40)}" if self.provider else name

    @property
    def took(self) -> str:
        words = duration(self.seconds)
        return f" ({words})" if words else ""


def _ending(style: Style, lines: Sequence[str], ways: _Ways) -> str:
    return "\n".join([*lines, "", *next_lines(ways, style)])


def render_success(ended: Ended, overview: Overview, style: Style, commands: Commands) -> str:
    """Return what runs where, what is missing and how to get it, how to look, and what to type next."""
    if not ended.waited:
        text = f"{ended.place} is applied, but was not waited for: whether it works is not known yet."
        ways = [(commands("--resume"), "waits, and verifies"), (commands("--status"), "where it stands")]
        return _ending(style, style.marked("done", text, tone="good"), ways)
    if ended.nothing_to_do:
        return _up_to_date(ended, overview, style, commands)
    lines = style.marked("done", f"{ended.place} is up and running{ended.took}.", tone="good")
    if overview.dashboard or overview.hints:
        lines += ["", "How to look"]
        if overview.dashboard:
            lines.append(style.line("  Grafana: ", (sanitize(overview.dashboard, 400), "busy"), whole=True))
        lines += [line for hint in overview.hints for line in hint_lines(style, hint)]
    if running := _running(overview, style):
        lines += ["", *running]
    if names := ", ".join(sanitize(item.component, 40) for item in overview.absent):
        what, hint = "it" if len(overview.absent) == 1 else "them", overview.absent[0].hint
        lines += ["", *hint_lines(style, f"Not installed: {names}; to have {what}: {hint}", indent=0)]
    ways = [
        (commands("--status"), "where it stands"),
        (commands("dashboard", "--open"), "shows it on a page"),
        (commands("verify"), "checks everything"),
        (commands("--repair"), "fixes what broke"),
    ]
    return _ending(style, lines, ways)


def _up_to_date(ended: Ended, overview: Overview, style: Style, commands: Commands) -> str:
    """Return what, where and next: a line each. Where is Grafana's address, if it runs, and the ports of the others."""
    lines = style.marked("done", f"{ended.place} is up to date: nothing had to be done{ended.took}.", tone="good")
    if reached := sorted(overview.endpoints, key=lambda item: item.component != "grafana"):
        named = [(sanitize(item.component, 40), sanitize(item.base_url, 200)) for item in reached]
        ports = [f"{name} :{url.rpartition(':')[2]}" for name, url in named[1:]]
        where = style.symbol("dash").join([" ".join(named[0]), *ports])
        lines.append(style.line("  ", (where, "busy"), whole=True))
    return "\n".join([*lines, *next_lines([(commands("--status", "--live"), "how it is now")], style)])


def render_failure(
    ended: Ended,
    errors: Mapping[str, InstallError],
    style: Style,
    commands: Commands,
    logs: Mapping[str, str] | None = None,
    ways: _Ways = (),
    bundle: str = "",
) -> str:
    """Return, for each failed step, what went wrong, what shows it, what to do and where its log is.

    `ways` are other commands that may lead to the end, `bundle` the file with all that helps to find out what is wrong.
    """
    lines: list[str] = []
    for step, error in errors.items():
        took = duration(ended.seconds)
        first = f"{sanitize(step, 60)} failed" + (f" after {took}" if took and len(errors) == 1 else "")
        lines += _error(error, style, first=first)
        if log := (logs or {}).get(step):
            lines.append(style.line("  Log   ", sanitize(log, 4096), whole=True))
        lines.append("")
    if bundle:
        text = "For a bug report, redacted: look at it before you send it"
        lines += [*style.paragraph(text), style.line("  ", sanitize(bundle, 4096), whole=True), ""]
    again = (commands("--resume"), "carries on from there")
    if any(INSTALL_TOOLS in error.hint for error in errors.values()):
        again = (commands("--resume", INSTALL_TOOLS), "gets what is missing, and carries on")
    last = [(commands("--status"), "where it stands"), (commands("diagnose"), "looks closer, for a bug report")]
    return "\n".join([*lines, *next_lines([again, *ways, *last], style)])


def render_interrupted(
    ended: Ended, done: Sequence[str], total: int, style: Style, commands: Commands, reason: str = ""
) -> str:
    """Return what was done before the run was told to end, and how to carry on."""
    why, took = f" ({sanitize(reason, 80)})" if reason else "", duration(ended.seconds)
    text = f"{ended.place} was interrupted{why}" + (f" after {took}" if took else "") + "; what is done is kept."
    names = ", ".join(sanitize(step, 60) for step in done)
    share = f"Done: {len(done)} of {count(total, 'step')}" + (f" ({names})" if names else "")
    lines = [*style.marked("stopped", text, tone="warn"), *style.paragraph(share, indent=2)]
    return _ending(style, lines, [(commands("--resume"), "carries on from there")])


def render_rolled_back(ended: Ended, undone: Sequence[str], kept: str, style: Style, commands: Commands) -> str:
    """Return what was undone, where its data is, and what to type next."""
    names = ", ".join(sanitize(step, 60) for step in undone)
    text = f"{ended.place}: {names} {'is' if len(undone) == 1 else 'are'} undone{ended.took}."
    lines = [*style.marked("done", text, tone="good"), *style.paragraph(sanitize(kept, 4096), indent=2)]
    ways = [(commands("--resume"), "installs it again"), (commands("delete"), "removes the rest, records and data")]
    return _ending(style, lines, ways)


def render_error(error: InstallError, style: Style) -> str:
    return "\n".join(_error(error, style))


def _error(error: InstallError, style: Style, first: str = "") -> list[str]:
    lead: list[Span] = [style.mark("failed"), (" ", "")]
    if first:
        lead.append((f"{first}: ", "strong"))
    lines = style.paragraph(sanitize(error.message), first=lead, indent=2, tone="bad")
    if error.code == "bug" or error.exit_code == ExitCode.BUG:
        # The indentation of a traceback is part of it; `line` sanitizes it.
        trace = error.evidence[-TRACE_LINES * 200 :].splitlines()[-TRACE_LINES:]
        lines += [style.line("  ", (text.expandtabs(4), "faint")) for text in trace]
    else:
        for place, text in enumerate(sanitize_lines(error.evidence, EVIDENCE_LINES)):
            lines += style.paragraph(text, first=[("        " if place else "  Seen  ", "")], indent=8, tone="faint")
    return lines + hint_lines(style, error.hint, label="Do    ")


def _running(overview: Overview, style: Style) -> list[str]:
    """Return a line for each component: its name, its address uncut, and the program behind it if there is room."""
    programs, addresses = overview.programs, {item.component: item.base_url for item in overview.endpoints}
    rows = [
        (
            (sanitize(name, 40), "strong"),
            (sanitize(addresses.get(name, ""), 200), "busy"),
            (sanitize(programs.get(name, ""), 80), "faint"),
        )
        for name in {**addresses, **programs}
    ]
    return table(style, rows, dispensable=(2,), whole=range(len(rows)))
