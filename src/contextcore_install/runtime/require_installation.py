"""What is about an installation is refused where there is none: a mistyped name is not to begin a new one."""

from __future__ import annotations

from difflib import get_close_matches

from contextcore_install.cli.grammar import COMMANDS
from contextcore_install.cli.settings import is_cluster_name
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.hints import own
from contextcore_install.core.provider import ClusterState
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.recovery import known_records
from contextcore_install.runtime.selection import read_stack
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.plan_path import cluster_at

NAMED = 10
"""How many installations an error names."""


def require_known(app: App, command: str, verb: str = "") -> None:
    """Raise a usage error where nothing is known of the installation that a command is about.

    `verb` completes "there is no installation NAME to"; it is the command, unless given.

    Its records are looked for here, in its cluster and in its store; what cannot be asked is given the benefit of the
    doubt. In a home without any installation, the name that nobody typed is the one to begin with.
    """
    name = app.settings.cluster
    others = [other for other in app.home.cluster_names() if is_cluster_name(other) and other != name]
    if not (app.settings.cluster_given or others) or _is_known(app):
        return
    installed = f"installed: {', '.join(others[:NAMED])}" if others else "nothing is installed"
    hint = f"to install it: {app.commands()}"
    if meant := get_close_matches(name, others, 1):
        words = command if command.split(maxsplit=1)[0] in COMMANDS else f"--{command}"
        hint = own(*words.split(), "--cluster", meant[0])
    raise usage_error(f"there is no installation {name} to {verb or command}; {installed}", hint)


def _is_known(app: App) -> bool:
    return app.layout.exists or _left_by_others(app) or _answers(app)


def _left_by_others(app: App) -> bool:
    """Whether a file at the plan's path speaks of the cluster; one that cannot be read is for the run to tell of."""
    try:
        return cluster_at(app.home) in ("", app.settings.cluster)
    except (UnreadableFileError, ValueError):
        return True


def _answers(app: App) -> bool:
    try:
        provider = read_stack(app, State(app.settings.cluster)).provider
        if provider.cluster().state is not ClusterState.ABSENT:
            return True
    except InstallError:
        return True
    return known_records(app).state.exists
