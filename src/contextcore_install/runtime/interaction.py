"""What a command reports to people and scripts, what it asks people, and work outside of a run that Ctrl-C ends.

Questions are asked only if somebody can answer. Whoever answers "no", types another name, Ctrl-C or Ctrl-D has changed
nothing, and is told so: InstallError `declined`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from contextcore_install.core.errors import CancelledError, ExitCode, InstallError, usage_error
from contextcore_install.core.events import Kind
from contextcore_install.core.text import ascii_json
from contextcore_install.runtime.app import App
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.style import Style
from contextcore_install.ui.terminal import Terminal, error_document, one_line
from contextcore_install.ui.text import clip, sanitize

if TYPE_CHECKING:  # what looks at nothing and asks nothing starts without it
    from contextcore_install.engine.context import Context

UNWRAPPED = 10_000  # columns of an error that goes to a log: whoever searches there looks for whole sentences
_COUNTED_EVERY_S = 5.0
_UP_AND_CLEAR = "\x1b[A\r\x1b[K"  # ECMA-48: cursor up, and erase in line


def report_document(app: App, schema: str, facts: Mapping[str, Any], render: Callable[[Style], str]) -> ExitCode:
    """Print facts: as JSON in ASCII for scripts, as `render` draws them for people; return that all is done."""
    if app.json:
        app.stdout.write(ascii_json({"schema": f"contextcore-install/{schema}", **facts}, indent=2) + "\n")
    else:
        app.stdout.write(render(Terminal(app.stdout, app.environ, app.commands.typed).style()) + "\n")
    return ExitCode.DONE


def report_done(app: App, sentence: str, **facts: Any) -> ExitCode:
    result = {"cluster": app.settings.cluster, "message": sentence, **facts}
    return report_document(app, "result/v1", result, lambda style: "\n".join(style.paragraph(sentence)))


def report_error(error: InstallError, commands: Commands, *, as_json: bool) -> None:
    """Print why a command could not be carried out: one object for scripts, a sentence and a hint for people."""
    if as_json:
        sys.stdout.write(one_line(error_document(error) | {"hint": commands.typed(error.hint)}))
        return
    from contextcore_install.ui.console.summary import render_error

    terminal = Terminal(sys.stderr, os.environ, commands.typed)
    width = terminal.size()[0] if terminal.is_terminal else UNWRAPPED
    sys.stdout.flush()
    style = Style(width, colour=terminal.colour, unicode=terminal.unicode, typed=commands.typed)
    sys.stderr.write(render_error(error, style) + "\n")


def can_ask(app: App) -> bool:
    on_terminal = app.stdin.isatty() and app.stdout.isatty()
    return on_terminal and not app.settings.yes and not app.json


def agreed(app: App, question: str, *, takes_away: bool = False) -> bool:
    """Ask a yes-or-no question if one can ask; else the command itself is the answer.

    Enter alone is a yes, but to what takes something away. Raises InstallError `declined` for an answer that is none.
    """
    choices, yes = ("[y/N]", ("y", "yes")) if takes_away else ("[Y/n]", ("", "y", "yes"))
    return not can_ask(app) or _answer(app, f"{question} {choices} ").lower() in yes


def require_yes(app: App, question: str, *, takes_away: bool = False) -> None:
    """Have a question answered with yes; raises InstallError `declined`. See `agreed`."""
    if not agreed(app, question, takes_away=takes_away):
        raise _declined("the answer was no")


def require_name(app: App, question: str, refused: str, command: str) -> None:
    """Have the cluster's name typed, unless --yes --cluster NAME says it.

    `refused` says what was not done without it, `command` what to type if nobody can be asked. Raises InstallError:
    `declined` for another name, a usage error if nobody can be asked.
    """
    settings = app.settings
    if settings.yes and settings.cluster_given:
        return
    if not can_ask(app):
        raise usage_error(f"{settings.cluster} {refused}: its name was not given", command)
    if _answer(app, question) != settings.cluster:
        raise _declined(f"{settings.cluster} {refused}: another name was typed")


def _declined(reason: str) -> InstallError:
    return InstallError("declined", f"{reason}; nothing was changed", exit_code=ExitCode.INTERRUPTED)


def _answer(app: App, question: str) -> str:
    from contextcore_install.system.signals import ending_at_once

    line = ""
    try:
        with ending_at_once() as wait:
            app.stdout.write(question)
            app.stdout.flush()
            wait(app.stdin.fileno())
            line = app.stdin.readline()
    except KeyboardInterrupt:
        raise _declined("interrupted") from None
    finally:
        if not line.endswith("\n"):
            app.stdout.write("\n")
            app.stdout.flush()
    if not line:
        raise _declined("there was no answer")
    return line.strip()


class _Activities:
    """Lines about what goes on. One that only counts on from the last replaces it, or is shown every few seconds."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, threading.Lock()
        terminal = Terminal(app.stdout, app.environ)
        self._replaces = terminal.size()[0] if terminal.live else 0
        self._lead, self._shown_at = "", float("-inf")

    def show(self, text: str, *, may_count: bool) -> None:
        lead, counts, _ = text.partition(": ") if may_count else ("", "", "")
        with self._lock:  # several threads may work for one command
            now, goes_on = self._app.clock.monotonic(), bool(counts) and lead == self._lead
            if goes_on and not self._replaces and now - self._shown_at < _COUNTED_EVERY_S:
                return
            self._lead, self._shown_at = lead, now
            line = clip(text, self._replaces - len("  ")) if counts and self._replaces else text
            self._app.stdout.write(f"{_UP_AND_CLEAR if goes_on and self._replaces else ''}  {line}\n")
            self._app.stdout.flush()


@contextmanager
def cancellable(app: App) -> Iterator[Context]:
    """Within the block, have a context that shows activities and notices; Ctrl-C ends it with KeyboardInterrupt."""
    from contextcore_install.core.threads import CancelToken
    from contextcore_install.engine.context import Context
    from contextcore_install.system.signals import ending_signals_apart
    from contextcore_install.system.supervisor import kill_all_children

    token, activities = CancelToken(), _Activities(app)

    def show(kind: Kind, _: str, data: dict[str, Any]) -> None:
        if app.json and kind is Kind.NOTICE:
            app.stderr.write(f"note: {sanitize(data['text'])}\n")
        elif kind in (Kind.ACTIVITY, Kind.NOTICE) and not app.json:
            activities.show(sanitize(data["text"]), may_count=kind is Kind.ACTIVITY)

    deadline = app.clock.monotonic() + app.settings.timeout_s
    try:
        with ending_signals_apart(token.cancel, kill_all_children, token.note):
            yield Context("", token, show, app.clock, deadline)
    except CancelledError as error:
        raise KeyboardInterrupt from error
