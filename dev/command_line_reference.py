"""Write docs/reference/command-line.md from the parser: `make reference`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from contextcore_install.cli.parser import build_parser

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command-line.md"
PROGRAM = "./create-cluster.sh"

_INTRODUCTION = f"""\
# Command line

`{PROGRAM} [FLAGS]`, or `{PROGRAM} COMMAND [FLAGS]`. This page is generated from the program
(`make reference`); `--help` shows the same. A flag that has no meaning for a command is refused with exit code 2.

Options of the installation are stored with it: later runs use the provider, ports, context, manifests, registry, node
image and workers of earlier ones.
"""


def page() -> str:
    """Return the page: what every invocation takes, then each command with its own flags."""
    parser = build_parser(PROGRAM)
    lines = [_INTRODUCTION]
    for group in parser._action_groups:  # noqa: SLF001 - argparse shows its groups nowhere else
        shown = [action for action in group._group_actions if action.option_strings]  # noqa: SLF001
        if shown:
            lines += [f"## {_sentence(group.title)}\n", *_table("flag", shown), ""]
    lines.append("## Commands\n")
    for name, command in _commands(parser).items():
        shared = {action.dest for action in parser._actions}  # noqa: SLF001
        taken = [action for action in command._actions if action.help is not argparse.SUPPRESS]  # noqa: SLF001
        own = [action for action in taken if action.dest not in shared]
        also = [f"`{action.option_strings[-1]}`" for action in taken if action.dest in shared - {"help"}]
        lines += [f"### `{name}`\n", f"{_sentence(command.description)}.\n"]
        lines += [*_table("argument", own), ""] if own else []
        lines += [f"Also takes {', '.join(also)}.\n"] if also else []
    return "\n".join(lines).rstrip() + "\n"


def _sentence(text: str | None) -> str:
    return text[0].upper() + text[1:] if text else ""


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001
    commands: dict[str, argparse.ArgumentParser] = found.choices
    return commands


def _table(title: str, actions: Iterable[argparse.Action]) -> Iterator[str]:
    yield f"| {title} | what it does |"
    yield "|---|---|"
    for action in actions:
        yield f"| `{_usage(action)}` | {(action.help or '').replace('|', chr(92) + '|')} |"


def _usage(action: argparse.Action) -> str:
    value = str(action.metavar or "") or "\\|".join(str(choice) for choice in action.choices or ())
    if not action.option_strings:
        return value or action.dest.upper()
    return " ".join(part for part in (action.option_strings[-1], value if action.nargs != 0 else "") if part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
