"""The command line's parser, made from its grammar: argparse is quick to import, and shtab completes from it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import takewhile

from contextcore_install import __version__
from contextcore_install.cli.grammar import ARGUMENTS, COMMANDS, DESCRIPTION, EPILOG, EXAMPLES, FLAGS, MODES, USAGE
from contextcore_install.core.errors import InstallError, own, usage_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_TYPED_AS_WORDS = (*MODES, "help", "version")  # flags that are taken for commands
_LONGEST = 40  # characters of a word that are repeated: it may be anything
_LIKENESS = 0.7  # of 1: how alike two words must be
_BEGINNING = 3  # letters of a name that stand for it


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    help_hint = f"see {own('--help')}"

    def error(self, message: str) -> NoReturn:
        raise usage_error(message.replace("not allowed with argument", "cannot be combined with"), self.help_hint)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Suggest what was probably meant; argparse would list all that may stand there."""
        if action.choices is None or value in action.choices:
            return
        choices = list(action.choices)
        what = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest).lower()
        flags = {name: f"--{name}" for name in _TYPED_AS_WORDS} if what == "command" else {}
        spelt = {name: name for name in choices} | flags
        word = _with_suggestion(str(value), spelt, otherwise=f"; choose from {', '.join(choices)}")
        lead = f"{what} cannot be" if action.option_strings else f"there is no {what}"
        raise usage_error(f"{lead} {word}", self.help_hint)


class _CommandParser(_Parser):
    """The parser of a subcommand, made when that is given: the sixteen take longer than the rest of a quick command."""

    def __init__(self, command: str, **how: Any) -> None:
        self._make = partial(super().__init__, **how)
        self._command = command

    def __getattr__(self, name: str) -> Any:
        if "_make" not in self.__dict__:
            raise AttributeError(name)
        self.__dict__.pop("_make")()
        _add_arguments(self, self._command)
        return getattr(self, name)


def build_parser(program: str) -> argparse.ArgumentParser:
    name = program.replace("%", "%%")
    parser = _Parser(
        prog=program,
        usage=USAGE.format(program=name),
        description=DESCRIPTION.format(program=name),
        epilog=EPILOG.format(program=name),
        add_help=False,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=_help_width()),
        allow_abbrev=False,
    )
    modes = parser.add_argument_group("what to do (default: install, which is safe to repeat)")
    exclusive = modes.add_mutually_exclusive_group()
    for mode, text in MODES.items():
        exclusive.add_argument(f"--{mode}", action="store_true", help=text)
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=_CommandParser, prog=program
    )
    what = parser.add_argument_group("what is installed, and where (kept for later runs)")
    how = parser.add_argument_group("how to go about it")
    for flag in FLAGS.values():
        (what if flag.kept else how).add_argument(flag.name, **flag.options)
    how.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    how.add_argument("-h", "--help", action="help", help="show this help")
    width = _help_width()
    for command, text in COMMANDS.items():
        lines = "".join(f"\n  {name} {example}" for example in EXAMPLES.get(command, ()))
        shape = argparse.RawDescriptionHelpFormatter if lines else argparse.HelpFormatter
        shown: dict[str, Any] = {"description": text, "epilog": f"examples:{lines}" if lines else None}
        shown |= {"allow_abbrev": False, "formatter_class": partial(shape, width=width)}
        commands.add_parser(command, help=text, command=command, **shown)
    return parser


def _add_arguments(parser: _Parser, command: str) -> None:
    """Add what a subcommand takes. It knows all shared flags, to refuse those of others; its help shows its own."""
    parser.help_hint = f"see {own(command, '--help')}"
    shared = parser.add_argument_group("options of other commands too")
    for flag in FLAGS.values():
        shown = {} if command in flag.commands else {"help": argparse.SUPPRESS}
        shared.add_argument(flag.name, **{**flag.options, "default": argparse.SUPPRESS, **shown})
    for argument in ARGUMENTS.get(command, ()):
        parser.add_argument(argument.name, **argument.options)


def _help_width() -> int:
    """Return the columns for help texts. Left to itself, argparse asks shutil for every option, which is slow."""
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        columns = os.environ.get("COLUMNS", "")
        return max(40, int(columns) - 2) if columns.isascii() and columns.isdecimal() and len(columns) < 5 else 98


def unknown_flag(words: Sequence[str]) -> InstallError | None:
    """Return the error for the first flag that is none, or another command's: else its value takes the blame."""
    shared = (*FLAGS, *(f"--{mode}" for mode in MODES), "--help", "--version")
    owners: dict[str, list[str]] = {}
    for command, arguments in ARGUMENTS.items():
        for argument in (item for item in arguments if item.name.startswith("--")):
            owners.setdefault(argument.name, []).append(command)
    elsewhere = {flag for flag, commands in owners.items() if flag not in shared and not set(commands) & set(words)}
    spelt = {flag: flag for flag in (*shared, *owners)}
    words_here = (command for command in COMMANDS if f"--{command}" not in spelt.keys() - elsewhere)
    spelt |= {f"--{command}": command for command in words_here}
    for word in takewhile(lambda word: word != "--", words):
        flag = word.partition("=")[0]
        if not flag.startswith("--") or flag in shared:
            continue
        if flag not in owners:
            return usage_error(f"there is no flag {_with_suggestion(flag, spelt, elsewhere)}", f"see {own('--help')}")
        if flag in elsewhere:
            hint = f"see {own(owners[flag][0], '--help')}"
            return usage_error(f"{flag} belongs to {' and '.join(owners[flag])}", hint)
    return None


def _with_suggestion(word: str, spelt: Mapping[str, str], elsewhere: Collection[str] = (), otherwise: str = "") -> str:
    """Return a word, and what may have been meant, spelt as it is typed; of equals, one that may stand here.

    Dashes do not count. The beginning of a name is as near to it as can be.
    """
    from difflib import SequenceMatcher

    from contextcore_install.core.redaction import hide_secrets

    bare = word[:_LONGEST].lstrip("-")
    compared = SequenceMatcher(b=bare)
    best, meant = (_LIKENESS, False, 0.0), ""
    for name, typed in spelt.items():
        compared.set_seq1(name.lstrip("-"))
        likeness = compared.ratio()
        begins = len(bare) >= _BEGINNING and name.lstrip("-").startswith(bare)
        how_near = (1.0 if begins else likeness, typed not in elsewhere, likeness)
        if how_near > best:
            best, meant = how_near, typed
    return hide_secrets(word[:_LONGEST]) + (f": did you mean {meant}?" if meant else otherwise)
