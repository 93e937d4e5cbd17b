"""completion: a script that teaches a shell the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import contextcore_install
from contextcore_install.cli import grammar, parser
from contextcore_install.core.errors import LAUNCHER, ExitCode
from contextcore_install.core.tables import kept, read_table
from contextcore_install.engine import names
from contextcore_install.runtime.app import App
from contextcore_install.stack import catalogue
from contextcore_install.stack.catalogue import ALL, COMPONENTS, PORTS

COMMAND = "contextcore-install"

_REGISTRATION = rf"(?m)^ *(complete|compdef|#compdef) .*{COMMAND}$"
"""Where bash's and zsh's scripts say what they complete; both take several names, and match a path by its last part."""

_TABLE = Path(__file__).with_suffix(".toml")
_MODULES = (contextcore_install, grammar, parser, names, catalogue, sys.modules[__name__])
_MADE_FROM = (*(Path(str(module.__file__)) for module in _MODULES), grammar.TABLE, catalogue.TABLE, _TABLE)
"""The files that the scripts are made from. Shells ask for one at every start, so it is kept."""


def completion(app: App) -> int:
    shell = app.settings.arguments["shell"]
    app.stdout.write(kept(Path(__file__).with_suffix(f".{shell}"), _MADE_FROM, lambda: _script(shell)))
    return ExitCode.DONE


def _script(shell: str) -> str:
    import shtab

    made = parser.build_parser(COMMAND)
    table = read_table(_TABLE)
    values = {**table["values"], "manifests": shtab.DIRECTORY, **dict.fromkeys(table["files"], shtab.FILE)}
    for action in _actions(made):
        if action.dest in values:
            action.complete = values[action.dest]  # type: ignore[attr-defined]
    script = shtab.complete(made, shell=shell) + "\n"
    script = script.replace("@PORTS@", " ".join(f"{key}=" for key in PORTS))
    script = script.replace("@COMPONENTS@", " ".join([ALL, *(component.name for component in COMPONENTS)]))
    if shell == "fish":
        return script.replace(f"complete -c {COMMAND}", f"complete -c {COMMAND} -c {LAUNCHER}")
    if shell == "bash":
        script = re.sub(_REGISTRATION, table["bash_registration"], script)
    return re.sub(_REGISTRATION, rf"\g<0> {LAUNCHER}", script)


def _actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in of._actions:  # noqa: SLF001 - argparse has no other way to them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for each in action.choices.values():
                yield from _actions(each)
