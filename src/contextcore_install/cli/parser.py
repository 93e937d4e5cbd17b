"""The command line's grammar, as argparse takes it, made of `cli/flags.py` and `cli/grammar.py`.

The parser is argparse: it is there without an import from disk that would slow every start, and
shtab makes the shells' completions from it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from contextcore_install import __version__
from contextcore_install.cli.flags import FLAGS, HOW, WHERE, Argument
from contextcore_install.cli.grammar import COMMANDS, EVERYWHERE, Command
from contextcore_install.core.errors import usage_error
from contextcore_install.core.hints import own

MODES = ("resume", "repair", "reset", "status", "attach")

USAGE = """\
{program} [--resume | --repair | --status | --attach | --reset] [OPTIONS]
       {program} COMMAND [OPTIONS]"""

DESCRIPTION = """\
Installs Grafana, Mimir, Loki, Tempo and Alloy on this machine or in a cluster of yours, and keeps
track of it. It may be interrupted and run again at any time: what is done is checked, not repeated.

start with:
  {program} plan                      see what would be done here; changes nothing
  {program} --install-tools           install, and get the tools that are missing
  {program} --status --live           see how it is, and where
  {program} --repair                  find what broke, and fix it"""

EPILOG = """\
more examples:
  {program} --resume                  carry on where it stopped
  {program} --status --output json    the same as --status, for a script
  {program} logs pods_ready           what a step's commands printed
  {program} --provider host --cluster demo --port grafana=3001
  {program} COMMAND --help            what a command takes

exit codes: 0 done, 1 a step failed, 2 usage, 3 preflight failed, 4 state unusable,
            5 another run is at work, 70 a bug, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    help_hint = f"see {own('--help')}"
    """What to type to see what may be typed, as hints name the program."""

    def error(self, message: str) -> NoReturn:
        raise usage_error(message.replace("not allowed with argument", "cannot be combined with"), self.help_hint)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Say what may have been meant, where argparse would list all that may stand there."""
        if action.choices is None or value in action.choices:
            return
        from contextcore_install.cli.suggestions import unknown_choice

        what = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
        raise unknown_choice(what if what.startswith("-") else what.lower(), str(value), action.choices, self.help_hint)


def build_parser(program: str) -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = _Parser(
        prog=program,
        usage=USAGE.format(program=program.replace("%", "%%")),
        description=DESCRIPTION.format(program=program.replace("%", "%%")),
        epilog=EPILOG.format(program=program.replace("%", "%%")),
        add_help=False,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=_help_width()),
        allow_abbrev=False,
    )
    _add_modes(parser)
    formatter = partial(argparse.HelpFormatter, width=_help_width())
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=_Parser, prog=program
    )
    _add_shared(parser.add_argument_group("what is installed, and where (kept for later runs)"), WHERE)
    how = parser.add_argument_group("how to go about it")
    _add_shared(how, HOW)
    how.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    how.add_argument("-h", "--help", action="help", help="show this help")
    for name, grammar in COMMANDS.items():
        summary = grammar.summary
        command = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=formatter
        )
        command.help_hint = f"see {own(name, '--help')}"
        _add_shared(command.add_argument_group("options of other commands too"), FLAGS, grammar)
        for each in grammar.arguments:
            command.add_argument(*each.names, **each.options)
    return parser


def _help_width() -> int:
    """Return the columns for help texts. Left to itself, argparse asks shutil for every option, which is slow."""
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        columns = os.environ.get("COLUMNS", "")
        return max(40, int(columns) - 2) if columns.isascii() and columns.isdecimal() and len(columns) < 5 else 98


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do (default: install, which is safe to repeat)")
    modes = group.add_mutually_exclusive_group()
    modes.add_argument("--resume", action="store_true", help="carry on where the installation stopped")
    modes.add_argument("--repair", action="store_true", help="check everything, and fix what is broken")
    modes.add_argument("--reset", action="store_true", help="put the state aside; touches no cluster")
    modes.add_argument("--status", action="store_true", help="show where the installation stands")
    modes.add_argument("--attach", action="store_true", help="watch the run that is at work")


def _add_shared(group: argparse._ArgumentGroup, flags: Sequence[Argument], command: Command | None = None) -> None:
    """Add flags that may stand before or behind a subcommand.

    A subcommand's parser knows all of them, to say what they contradict; its help shows what has a meaning there.
    """
    for flag in flags:
        options = dict(flag.options)
        if command is not None:
            options["default"] = argparse.SUPPRESS
            if flag.family not in (EVERYWHERE | command.shared) - command.unused:
                options["help"] = argparse.SUPPRESS
        group.add_argument(*flag.names, **options)
