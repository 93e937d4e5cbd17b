"""The command line's grammar, as argparse takes it; the subcommands' own part is in `grammar.py`.

The parser is argparse: it is there without an import from disk that would slow every start, and
shtab makes the shells' completions from it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from contextcore_install import __version__
from contextcore_install.core.errors import usage_error
from contextcore_install.grammar import COMMANDS, EVERYWHERE, duration

DEFAULT_CLUSTER = "o11y-dev"
MODES = ("resume", "repair", "reset", "status", "attach")
PROVIDERS = ("auto", "kind", "kube-context", "host")

PROVIDER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "workers": ("kind",),
    "node_image": ("kind",),
    "pull": ("kind",),
    "context": ("kube-context",),
    "manifests": ("kind", "kube-context"),
    "registry": ("kind", "kube-context"),
}
"""Options that mean something to some providers only, and to which."""

EPILOG = """\
examples:
  {program} --install-tools --yes     install, and get what is missing without asking
  {program} --status                  where the installation stands
  {program} --resume                  carry on where it stopped
  {program} --repair                  find what broke, and fix it
  {program} --status --output json    the same for a script
  {program} logs pods_ready           what a step's commands printed
  {program} --cluster demo --port grafana=3001

exit codes: 0 done, 1 a step failed, 2 usage, 3 preflight failed, 4 state unusable,
            5 another run is at work, 70 a bug, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise usage_error(
            message.replace("not allowed with argument", "contradicts"), f"see {self.prog} --help"
        )

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Say what may have been meant, where argparse would list all that may stand there."""
        if action.choices is None or value in action.choices:
            return
        from contextcore_install.mistyped import unknown_choice

        what = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
        raise unknown_choice(
            what if what.startswith("-") else what.lower(), str(value), action.choices, self.prog
        )


def build_parser(program: str) -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = _Parser(
        prog=program,
        description="Install an observability stack and keep track of it: any state of the machine, one command.",
        epilog=EPILOG.format(program=program),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=_help_width()),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_modes(parser)
    _add_shared(parser)
    formatter = partial(argparse.HelpFormatter, width=_help_width())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, grammar in COMMANDS.items():
        summary = grammar.summary
        command = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=formatter
        )
        _add_shared(command, grammar.shared)
        for own in grammar.arguments:
            command.add_argument(*own.names, **own.options)
    return parser


def _help_width() -> int:
    """Return the columns for help texts. Left to itself, argparse asks shutil for every option, which is slow."""
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        columns = os.environ.get("COLUMNS", "")
        return (
            max(40, int(columns) - 2)
            if columns.isascii() and columns.isdecimal() and len(columns) < 5
            else 98
        )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do (default: install, which is safe to repeat)")
    modes = group.add_mutually_exclusive_group()
    modes.add_argument("--resume", action="store_true", help="carry on where the installation stopped")
    modes.add_argument("--repair", action="store_true", help="check everything, and fix what is broken")
    modes.add_argument("--reset", action="store_true", help="put the state aside; touches no cluster")
    modes.add_argument("--status", action="store_true", help="show where the installation stands")
    modes.add_argument("--attach", action="store_true", help="watch the run that is at work")


def _add_shared(parser: argparse.ArgumentParser, fitting: Collection[str] | None = None) -> None:
    """Add the options that may stand before or behind a subcommand.

    `fitting` names the restricted ones that fit the subcommand that the parser is of. It knows the others too, to say
    what they contradict; its help does not.
    """

    def add(flag: str, **options: Any) -> None:
        if fitting is not None:
            options["default"] = argparse.SUPPRESS
            if name_in_grammar(flag) not in shown:
                options["help"] = argparse.SUPPRESS
        group.add_argument(flag, **options)

    shown = EVERYWHERE | frozenset(fitting or ())
    group = parser.add_argument_group("options" if fitting is None else "options of other commands too")
    add(
        "--cluster",
        metavar="NAME",
        help=f"the cluster's name (default {DEFAULT_CLUSTER}, or CONTEXTCORE_CLUSTER)",
    )
    add("--provider", choices=PROVIDERS, help="where the stack runs (default auto)")
    add("--port", metavar="COMPONENT=PORT", action="append", help="the host port of a component; repeatable")
    add(
        "--workers",
        metavar="N",
        type=_workers,
        help="kind: worker nodes beside the control plane (default 0)",
    )
    add("--node-image", metavar="IMAGE", help="kind: the node image (or KIND_NODE_IMAGE)")
    add("--pull", choices=("missing", "never"), help="kind: pull images that the engine lacks, or never")
    add("--context", metavar="NAME", help="kube-context: kubectl's context of the cluster to install into")
    add(
        "--manifests",
        metavar="DIR",
        type=absolute,
        help="install this kustomization instead of ours (or K8S_MANIFESTS)",
    )
    add(
        "--registry",
        metavar="PREFIX",
        type=_registry,
        help="take images from this mirror, as in mirror.example:5000/hub",
    )
    add("--install-tools", action="store_true", help="get missing tools into the program's own folder")
    add("--skip-wait", action="store_true", help="do not wait until everything is ready")
    add("--timeout", metavar="TIME", type=duration, help="limit of the whole run, as 90s, 10m or 1h30m")
    add("--yes", action="store_true", help="answer questions with yes")
    add(
        "--allow-data-loss",
        action="store_true",
        help="with --repair and --cluster NAME: also carry out remedies that lose data",
    )
    add("--live", action="store_true", help="with --status: also check how things really are")
    add("--output", choices=("human", "json"), help="json: for scripts")
    add("--tutorial", action="store_true", help="explain each step while it runs, and how to do it by hand")
    add("--open", action="store_true", help="show the run on a local page, and open it in the browser")
    add("--verbose", action="store_true", help="show what commands print")


def name_in_grammar(flag: str) -> str:
    """Return the name under which `grammar.py` says what a flag fits."""
    of_provider = flag.removeprefix("--").replace("-", "_") in PROVIDER_OPTIONS
    return "--provider-options" if of_provider else flag


def absolute(folder: str) -> str:
    """Return a folder so that a later run from elsewhere finds it."""
    return str(Path(folder).absolute())


def _registry(text: str) -> str:
    """Return a mirror's prefix: a part of images' names, which everybody sees and which hold no credentials."""
    if "@" in text or "://" in text:
        raise argparse.ArgumentTypeError(
            "it is the beginning of images' names, without scheme and credentials, as in mirror.example:5000/hub"
        )
    return text


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and int(text) <= 16):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of workers from 0 to 16")
    return int(text)
