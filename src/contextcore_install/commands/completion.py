"""completion: a script that teaches a shell the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import contextcore_install
from contextcore_install.cli import grammar, parser
from contextcore_install.core.errors import LAUNCHER, ExitCode
from contextcore_install.core.tables import kept
from contextcore_install.engine import names
from contextcore_install.runtime.app import App
from contextcore_install.stack import catalogue
from contextcore_install.stack.catalogue import ALL, COMPONENTS, PORTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = "contextcore-install"

_REGISTRATION = rf"(?m)^ *(complete|compdef|#compdef) .*{COMMAND}$"
"""Where bash's and zsh's scripts say what they complete; both take several names, and match a path by its last part."""

_PORTS = " ".join(f"{key}=" for key in PORTS)

_CLUSTERS: Mapping[str, Any] = {
    "bash": "_contextcore_clusters",
    "zsh": "_contextcore_clusters",
    "fish": "(_contextcore_clusters)",
    "tcsh": "`ls ${HOME}/.contextcore/clusters`",
    "preamble": {
        "bash": """\
_contextcore_clusters() {
  compgen -W "$(ls -- "${CONTEXTCORE_HOME:-$HOME/.contextcore}/clusters" 2>/dev/null)" -- "$1"
}""",
        "zsh": """\
_contextcore_clusters() {
  compadd -- ${CONTEXTCORE_HOME:-$HOME/.contextcore}/clusters/*(N/:t)
}""",
        "fish": """\
function _contextcore_clusters
  set -l home ~/.contextcore
  set -q CONTEXTCORE_HOME; and set home $CONTEXTCORE_HOME
  command ls -- $home/clusters 2>/dev/null
end""",
    },
}
"""The clusters of the home folder, looked up when a name is completed."""

_PORT_KEYS: Mapping[str, Any] = {
    "bash": "_contextcore_ports",
    "zsh": "_contextcore_ports",
    "fish": "(_contextcore_ports)",
    "tcsh": f"({_PORTS})",
    "preamble": {
        "bash": f'_contextcore_ports() {{\n  compgen -W "{_PORTS}" -- "$1"\n}}',
        "zsh": f"_contextcore_ports() {{\n  compadd -S '' -- {_PORTS}\n}}",
        "fish": f"function _contextcore_ports\n  string split ' ' '{_PORTS}'\nend",
    },
}
"""What has a port, with the sign behind which its number is typed."""

_NAMES = " ".join([ALL, *(component.name for component in COMPONENTS)])

_COMPONENTS: Mapping[str, Any] = {
    "bash": "_contextcore_components",
    "zsh": "_contextcore_components",
    "fish": "(_contextcore_components)",
    "tcsh": f"({_NAMES})",
    "preamble": {
        "bash": f"""\
_contextcore_components() {{
  local before=; [[ $1 == *,* ]] && before=${{1%,*}},
  compgen -P "$before" -W "{_NAMES}" -- "${{1##*,}}"
}}""",
        "zsh": f"_contextcore_components() {{\n  compset -P '*,'\n  compadd -- {_NAMES}\n}}",
        "fish": f"""\
function _contextcore_components
  set -l before (commandline -ct | string replace -r '^--[a-z]+=' '' | string replace -r '[^,]*$' '')
  for name in {_NAMES}
    echo $before$name
  end
end""",
    },
}
"""The list of components: its last name is completed, behind those that are there."""

_BASH_REGISTRATION = f"""\
_contextcore_install() {{
  _shtab_contextcore_install "$@"
  [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}}
complete -o bashdefault -F _contextcore_install {COMMAND}"""


_MADE_FROM = (contextcore_install, grammar, parser, names, catalogue, sys.modules[__name__])
"""The modules whose files the scripts are made from. Shells ask for one at every start, so it is kept."""


def run(app: App) -> int:
    shell = app.settings.arguments["shell"]
    sources = [Path(str(module.__file__)) for module in _MADE_FROM]
    app.stdout.write(kept(Path(__file__).with_suffix(f".{shell}"), sources, lambda: _script(shell)))
    return ExitCode.DONE


def _script(shell: str) -> str:
    import shtab

    made = parser.build_parser(COMMAND)
    values = {"cluster": _CLUSTERS, "port": _PORT_KEYS, "components": _COMPONENTS, "manifests": shtab.DIRECTORY}
    files = ("file", "bundle", "offline_bundle", "bundle_key", "sign_key", "password_file", "public_key")
    values |= dict.fromkeys(files, shtab.FILE)
    for action in _actions(made):
        if action.dest in values:
            action.complete = values[action.dest]  # type: ignore[attr-defined]
    return _for_both(shell, shtab.complete(made, shell=shell)) + "\n"


def _for_both(shell: str, script: str) -> str:
    if shell == "fish":
        return script.replace(f"complete -c {COMMAND}", f"complete -c {COMMAND} -c {LAUNCHER}")
    if shell == "bash":
        script = re.sub(_REGISTRATION, _BASH_REGISTRATION, script)
    return re.sub(_REGISTRATION, rf"\g<0> {LAUNCHER}", script)


def _actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in of._actions:  # noqa: SLF001 - argparse has no other way to them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for each in action.choices.values():
                yield from _actions(each)
