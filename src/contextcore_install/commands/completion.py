"""completion: a script that teaches a shell the command line."""

from __future__ import annotations

import re

from contextcore_install.app import App
from contextcore_install.core.errors import ExitCode
from contextcore_install.parser import build_parser

COMMAND, LAUNCHER = "contextcore-install", "create-cluster.sh"

_REGISTRATION = re.compile(rf"^ *(complete|compdef|#compdef) .*{COMMAND}$", re.MULTILINE)
"""Where bash's and zsh's scripts say what they complete; both take several names, and match a path by its last part."""


def run(app: App) -> int:
    """Print the completion script, for the command and for the launcher."""
    import shtab

    script = shtab.complete(build_parser(COMMAND), shell=app.settings.arguments["shell"])
    app.stdout.write(_REGISTRATION.sub(rf"\g<0> {LAUNCHER}", script) + "\n")
    return ExitCode.DONE
