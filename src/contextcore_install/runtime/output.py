"""How commands without a run report: sentences for people, one document for scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.text import ascii_json
from contextcore_install.runtime.app import App
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.style import Style
from contextcore_install.ui.terminal import Terminal

UNWRAPPED = 10_000  # columns of an error that goes to a log: whoever searches there looks for whole sentences

RESULT_SCHEMA = "contextcore-install/result/v1"


def report_document(app: App, document: Mapping[str, Any], render: Callable[[Style], str]) -> None:
    """Print a document: as JSON in ASCII for scripts, as `render` draws it for people."""
    if app.json:
        app.stdout.write(ascii_json(document, indent=2) + "\n")
    else:
        app.stdout.write(render(Terminal(app.stdout, app.environ, app.commands.typed).style()) + "\n")


def report_done(app: App, sentence: str, **facts: Any) -> None:
    document = {"schema": RESULT_SCHEMA, "cluster": app.settings.cluster, "message": sentence, **facts}
    report_document(app, document, lambda style: "\n".join(style.paragraph(sentence)))


def report_error(error: InstallError, commands: Commands, *, as_json: bool) -> None:
    """Print why a command could not be carried out: one object for scripts, a sentence and a hint for people."""
    if as_json:
        from contextcore_install.ui.console.json_lines import error_document, one_line

        sys.stdout.write(one_line(error_document(error) | {"hint": commands.typed(error.hint)}))
        return
    import os

    from contextcore_install.ui.console.summary import render_error

    terminal = Terminal(sys.stderr, os.environ, commands.typed)
    width = terminal.size()[0] if terminal.is_terminal else UNWRAPPED
    sys.stdout.flush()
    style = Style(width, colour=terminal.colour, unicode=terminal.unicode, typed=commands.typed)
    sys.stderr.write(render_error(error, style) + "\n")
