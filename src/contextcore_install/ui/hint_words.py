"""The program's own commands in a text: where each begins and ends, and its words, as the grammar has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contextcore_install.cli.grammar import ARGUMENTS, COMMANDS, FLAGS, MODES, Argument
from contextcore_install.core.hints import LAUNCHER

_PIECE = r"""'[^']*'|"[^"]*"|\\.|[^\s'"\\`();&|<>]"""
_NAME = rf"(?:{re.escape(LAUNCHER)}|contextcore-install)"
_START = re.compile(
    rf"(?<![^\s`(])(?P<variables>(?:[A-Z_][A-Z0-9_]*=(?:{_PIECE})* )*)"
    rf"(?P<program>(?:{_PIECE})*?(?:{_NAME}|'[^']*{_NAME}'))(?![\w'\"/=-]|\.\w)"
)
_NEXT = re.compile(rf" ((?:{_PIECE})+)")
_VARIABLE = re.compile(rf"([A-Z_][A-Z0-9_]*)=((?:{_PIECE})*) ")

_MODES = {f"--{mode}": mode for mode in MODES}
_BARE = frozenset({"--help", "--version", "-h"})


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """One command in a text: from `start` to `end`, its words and variables as they are quoted there."""

    start: int
    end: int
    variables: dict[str, str]
    program: str
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """The mode or subcommand that it is, by the grammar's name; empty where it only asks for help."""
        if _BARE & set(self.words):
            return ""
        named = (word for word in self.words if word in COMMANDS)
        modes = (_MODES[word] for word in self.words if word in _MODES)
        return next(named, "") or next(modes, "") or "install"

    def names(self, flag: str) -> list[str]:
        """Return the values that it gives a flag, and "" for one without a value; nothing where it has no such flag."""
        found = [word.partition("=")[2] for word in self.words if word.startswith(f"{flag}=")]
        following = [*self.words[1:], ""][: len(self.words)]
        return found + [after for word, after in zip(self.words, following, strict=True) if word == flag]


def commands_in(text: str) -> Iterator[OwnCommand]:
    """Yield the commands of this program in a text. A name without a folder or words is one only if it stands alone."""
    if LAUNCHER not in text and "contextcore-install" not in text:
        return
    for found in _START.finditer(text):
        words, end = _words(text, found.end())
        program = found["program"]
        if words or "/" in program or found[0] == text:
            variables = dict(_VARIABLE.findall(found["variables"]))
            yield OwnCommand(found.start(), end, variables, program, tuple(words))


def _words(text: str, at: int) -> tuple[list[str], int]:
    """Return the words of the command whose program ends at a place, and where the last of them ends."""
    words: list[str] = []
    known: dict[str, Argument] = {**FLAGS}
    places: list[Argument] = []
    awaited = False
    while found := _NEXT.match(text, at):
        whole = found[1]
        word = whole if whole[-1] in "'\"" else whole.rstrip(",.:;")
        name = word.partition("=")[0]
        if not word:
            break
        if awaited:
            awaited = False
        elif word.startswith("-"):
            if name not in known and name not in _MODES and name not in _BARE:
                break
            awaited = "=" not in word and name in known and bool(known[name].value)
        elif word in COMMANDS and not places and not any(each in COMMANDS for each in words):
            own = ARGUMENTS.get(word, ())
            known |= {each.name: each for each in own if each.name.startswith("-")}
            places = [each for each in own if not each.name.startswith("-")]
        elif places and _may_stand_for(places[0].value, word):
            places = places[1:]
        else:
            break
        words.append(word)
        at = found.start(1) + len(word)
        if word != whole:
            break
    return words, at


def _may_stand_for(choices: str | tuple[str, ...], word: str) -> bool:
    """Whether a word is an argument, and not the next of a sentence: one of the choices, a path, or a placeholder."""
    if isinstance(choices, tuple):
        return word in choices
    return word.isupper() or any(character in word for character in "/.'\"")
