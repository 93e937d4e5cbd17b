"""completion: a script that teaches a shell the command line."""

from __future__ import annotations

from contextcore_install.app import App
from contextcore_install.core.errors import ExitCode
from contextcore_install.settings import build_parser


def run(app: App) -> int:
    """Print the completion script."""
    import shtab

    parser = build_parser("contextcore-install")
    app.stdout.write(shtab.complete(parser, shell=app.settings.arguments["shell"]) + "\n")
    return ExitCode.DONE
