"""The command line as data, read from `grammar.toml`, and how the texts of its values are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from contextcore_install.core.dataclass import Any, dataclass, field
from contextcore_install.core.tables import read_table
from contextcore_install.engine.names import STATUSES, STEP_IDS

DEFAULT_CLUSTER = "o11y-dev"
TABLE = Path(__file__).with_suffix(".toml")

_DURATION = r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?"


@dataclass(frozen=True, slots=True)
class Argument:
    """A flag, or a positional argument of a subcommand.

    `value` is empty for a switch, else a placeholder or the choices. `commands` are the modes and subcommands to which
    a shared flag means something: the others refuse it, unless it is `tolerated`. `providers` are those that it means
    something to, if not to all. A `kept` value counts for later runs too; a `machine_local` one is never replicated.
    `variable` is the environment variable that stands for it. `actions` are those of its subcommand that take it, if
    not all do; `more` is what argparse takes beside all this.
    """

    name: str
    value: str | tuple[str, ...] = ""
    help: str = ""
    commands: frozenset[str] = frozenset()
    providers: tuple[str, ...] = ()
    tolerated: bool = False
    kept: bool = False
    machine_local: bool = False
    variable: str = ""
    actions: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        return str(self.more.get("dest") or self.name.lstrip("-").replace("-", "_"))

    @property
    def options(self) -> dict[str, Any]:
        how = {"choices": self.value} if isinstance(self.value, tuple) else {"metavar": self.value}
        return {"help": self.help, **(how if self.value else {"action": "store_true"}), **self.more}


def _duration(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m or 1h30m; raises argparse's error for anything else."""
    match = re.fullmatch(_DURATION, text.strip())
    if not match or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no time, as in 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 7 * 86_400:
        raise argparse.ArgumentTypeError("it must be more than nothing and at most a week")
    return total


def _number(least: int, most: int, text: str) -> int:
    """Return a number within bounds; raises argparse's error for anything else."""
    if text.isascii() and text.isdecimal() and least <= int(text[:9]) <= most:
        return int(text[:9])
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from {least} to {most}")


def _absolute(text: str) -> str:
    """Return a path so that a later run from elsewhere finds it, also one whose tilde no shell has expanded."""
    path = Path(text)
    with suppress(RuntimeError):  # a home that nobody has
        path = path.expanduser()
    return str(path.absolute())


def _registry(text: str) -> str:
    """Return a mirror's prefix: a part of images' names, which everybody sees and which holds no credentials."""
    if "@" in text or "://" in text:
        raise argparse.ArgumentTypeError(
            "it is the beginning of images' names, without scheme and credentials, as in mirror.example:5000/hub"
        )
    return text


def _mirror(text: str) -> str:
    """Return a mirror's URL; it is recorded and shown, and holds no credentials."""
    if not re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\w./~-]*)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            "it is a URL without credentials, as in https://mirror.example/releases; "
            "a name and password for it belong in ~/.netrc"
        )
    return text.rstrip("/")


_TYPES: Mapping[str, Callable[[str], Any]] = {
    "duration": _duration,
    "path": _absolute,
    "registry": _registry,
    "mirror": _mirror,
}
_CHOICES = {"steps": STEP_IDS, "statuses": STATUSES}
_FOR_ARGPARSE = ("type", "dest", "default", "nargs", "metavar", "required", "action")
"""How the table names what is not written in it, and what it hands on."""

_table = read_table(TABLE)
USAGE, DESCRIPTION, EPILOG = (str(_table[name]) for name in ("usage", "description", "epilog"))
MODES: Mapping[str, str] = _table["modes"]
"""Flags that say what to do, each with its help."""
COMMANDS: Mapping[str, str] = {name: command["help"] for name, command in _table["commands"].items()}
"""The subcommands, each with its help."""
EXAMPLES: Mapping[str, list[str]] = {name: command.get("examples", []) for name, command in _table["commands"].items()}
"""Command lines that a subcommand's help shows."""
_ALL = frozenset({"install", *MODES, *COMMANDS})


def _argument(row: dict[str, Any]) -> Argument:
    """Return the argument that a row of the table describes."""
    if "choices" in row:
        named = _CHOICES.get(row["choices"]) if isinstance(row["choices"], str) else None
        row["value"] = named or tuple(row["choices"])
        row.setdefault("help", ", ".join(named or ()))
        del row["choices"]
    if "number" in row:
        row["type"] = partial(_number, *row.pop("number"))
    elif "type" in row:
        row["type"] = _TYPES[row["type"]]
    if "actions" in row:
        row["help"] = f"{', '.join(row['actions'])}: {row['help']}"
    if "variable" in row:
        row["help"] += f" (or {row['variable']})"
    named_sets = (_table["sets"].get(name, [name]) for name in row.pop("commands", []))
    commands = {command for names in named_sets for command in names}
    row["commands"] = _ALL.difference(row.pop("all_but")) if "all_but" in row else frozenset(commands)
    more = {key: row.pop(key) for key in _FOR_ARGPARSE if key in row}
    row |= {key: tuple(row[key]) for key in ("providers", "actions") if key in row}
    return Argument(**row, more=more)


ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    name: tuple(map(_argument, command.get("arguments", []))) for name, command in _table["commands"].items()
}
"""What one subcommand takes beside the shared flags."""

FLAGS: Mapping[str, Argument] = {row["name"]: _argument(row) for row in _table["flags"]}
"""The flags that may stand before or behind a subcommand."""

PROVIDER_OPTIONS = {flag.destination: flag for flag in FLAGS.values() if flag.providers}
