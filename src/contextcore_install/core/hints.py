"""The commands of this program that hints tell people to type next."""

from __future__ import annotations

import re

LAUNCHER = "create-cluster.sh"
PROGRAM = f"./{LAUNCHER}"
"""The name of the program in hints; `ui.hints` writes it as the program was started, with the flags it needs again."""

_PLAIN = re.compile(r"(?:[\w@%+=:,./-]|\{\w+\})+", re.ASCII)


def quoted(word: str) -> str:
    """Return a word as a shell takes it; `{name}` in it stays for `str.format`."""
    if _PLAIN.fullmatch(word):
        return word
    from shlex import quote

    return quote(word)


def own(*words: str) -> str:
    """Return a command of this program."""
    return " ".join([PROGRAM, *map(quoted, words)])


RESUME, REPAIR, INSTALL_TOOLS = own("--resume"), own("--repair"), own("--install-tools")
