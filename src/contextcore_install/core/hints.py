"""The commands of this program that hints tell people to type next."""

from __future__ import annotations

import re

LAUNCHER = "create-cluster.sh"
PROGRAM = f"./{LAUNCHER}"
"""The name of the program in hints; `ui.hints` writes it as the program was started, with the flags it needs again."""

_PLAIN = re.compile(r"(?:[\w@%+=:,./-]|\{\w+\})+", re.ASCII)


def own(*words: str) -> str:
    """Return a command of this program as a shell takes it; `{name}` in a word stays for `str.format`."""
    from shlex import quote

    return " ".join([PROGRAM, *(word if _PLAIN.fullmatch(word) else quote(word) for word in words)])


RESUME, REPAIR, INSTALL_TOOLS = own("--resume"), own("--repair"), own("--install-tools")
