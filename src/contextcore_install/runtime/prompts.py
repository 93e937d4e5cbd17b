"""Questions, asked only where somebody can answer.

Whoever answers "no", types another name, Ctrl-C or Ctrl-D has changed nothing, and is told so: InstallError `declined`.
"""

from __future__ import annotations

from contextcore_install.core.errors import ExitCode, InstallError, usage_error
from contextcore_install.runtime.app import App
from contextcore_install.system.signals import ending_at_once


def can_ask(app: App) -> bool:
    on_terminal = app.stdin.isatty() and app.stdout.isatty()
    return on_terminal and not app.settings.yes and not app.json


def agreed(app: App, question: str, *, takes_away: bool = False) -> bool:
    """Ask a yes-or-no question where one can ask; elsewhere the command itself is the answer.

    Enter alone is a yes, but to what takes something away. Raises InstallError `declined` for an answer that is none.
    """
    choices, yes = ("[y/N]", ("y", "yes")) if takes_away else ("[Y/n]", ("", "y", "yes"))
    return not can_ask(app) or _answer(app, f"{question} {choices} ").lower() in yes


def require_yes(app: App, question: str, *, takes_away: bool = False) -> None:
    """Have a question answered with yes where one can ask; raises InstallError `declined`. See `agreed`."""
    if not agreed(app, question, takes_away=takes_away):
        raise declined("the answer was no")


def require_name(app: App, question: str, refused: str, command: str) -> None:
    """Have the cluster's name typed, unless --yes --cluster NAME says it.

    `refused` tells in words what was not done without it, `command` what to type where nobody can be asked. Raises
    InstallError: `declined` for another name, a usage error where nobody can be asked.
    """
    settings = app.settings
    if settings.yes and settings.cluster_given:
        return
    if not can_ask(app):
        raise usage_error(f"{settings.cluster} {refused}: its name was not given", command)
    if _answer(app, question) != settings.cluster:
        raise declined(f"{settings.cluster} {refused}: another name was typed")


def declined(reason: str) -> InstallError:
    return InstallError("declined", f"{reason}; nothing was changed", exit_code=ExitCode.INTERRUPTED)


def _answer(app: App, question: str) -> str:
    line = ""
    try:
        with ending_at_once():
            app.stdout.write(question)
            app.stdout.flush()
            line = app.stdin.readline()
    except KeyboardInterrupt:
        raise declined("interrupted") from None
    finally:
        if not line.endswith("\n"):
            app.stdout.write("\n")
            app.stdout.flush()
    if not line:
        raise declined("there was no answer")
    return line.strip()
