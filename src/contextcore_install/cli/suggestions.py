"""What was probably meant by a command line that cannot be read: imported only when one was mistyped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile

from contextcore_install.cli.flags import FLAGS
from contextcore_install.cli.grammar import COMMANDS, MODES
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.hints import own
from contextcore_install.core.redaction import hide_secrets

LONGEST = 40
"""How much of a word is repeated: it may be anything."""

LIKENESS = 0.7
"""How alike two words must be, of 1."""

TYPED_AS_WORDS = ("status", "resume", "repair", "reset", "attach", "help", "version")
"""Flags that are taken for commands."""


def unknown_flag(words: Sequence[str]) -> InstallError | None:
    """Return the error for the first flag that is none, or another command's; None where all are known.

    Without this, the value of a mistyped flag takes the blame.
    """
    modes = (f"--{mode}" for mode in MODES if mode != "install")
    shared = {*(name for flag in FLAGS for name in flag.names), *modes, "--help", "--version"}
    owners: dict[str, list[str]] = {}
    for name, command in COMMANDS.items():
        for flag in (flag for each in command.arguments for flag in each.names if flag.startswith("--")):
            owners.setdefault(flag, []).append(name)
    for word in takewhile(lambda word: word != "--", words):
        flag = word.partition("=")[0]
        if not flag.startswith("--") or flag in shared:
            continue
        if flag not in owners:
            hint = f"see {own('--help')}"
            spelt = {known: known for known in (*shared, *owners)} | {f"--{name}": name for name in COMMANDS}
            return usage_error(f"there is no flag {_shown(flag)}{_meant(flag, spelt)}", hint)
        if not set(owners[flag]) & set(words):
            theirs = " and ".join(owners[flag])
            return usage_error(f"{flag} belongs to {theirs}", f"see {own(owners[flag][0], '--help')}")
    return None


def unknown_choice(what: str, word: str, choices: Iterable[str], hint: str) -> InstallError:
    """Return the error for a word that is none of those that may stand there; `what` is a flag, or a kind of word."""
    known = list(choices)
    shown = _shown(word)
    lead = f"{what} cannot be {shown}" if what.startswith("-") else f"there is no {what} {shown}"
    candidates = {name: name for name in known}
    if what == "command":
        candidates |= {name: f"--{name}" for name in TYPED_AS_WORDS}
    return usage_error(lead + (_meant(word, candidates) or f"; choose from {', '.join(known)}"), hint)


def _meant(word: str, spelt: Mapping[str, str]) -> str:
    """Return what may have been meant, spelt as it is typed; empty where nothing is like it.

    The dashes do not count: two flags are alike in their names, or not.
    """
    bare = {name.lstrip("-"): typed for name, typed in spelt.items()}
    close = get_close_matches(word[:LONGEST].lstrip("-"), bare, 1, LIKENESS)
    return f": did you mean {bare[close[0]]}?" if close else ""


def _shown(word: str) -> str:
    return hide_secrets(word[:LONGEST])
