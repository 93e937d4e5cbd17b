"""Questions, asked only where somebody can answer."""

from __future__ import annotations

from contextcore_install.app import App


def can_ask(app: App) -> bool:
    """Whether somebody is there to answer, and wants to be asked."""
    on_terminal = app.stdin.isatty() and app.stdout.isatty()
    return on_terminal and not app.settings.yes and not app.json


def agreed(app: App, question: str) -> bool:
    """Ask a yes-or-no question where one can ask; elsewhere the command itself is the answer."""
    if not can_ask(app):
        return True
    app.stdout.write(f"{question} [Y/n] ")
    app.stdout.flush()
    return app.stdin.readline().strip().lower() in ("", "y", "yes")


def typed(app: App, expected: str, question: str) -> bool:
    """Have a word typed on a terminal; False where nobody can type, or something else is."""
    if not (app.stdin.isatty() and app.stdout.isatty()):
        return False
    app.stdout.write(question)
    app.stdout.flush()
    return app.stdin.readline().strip() == expected
