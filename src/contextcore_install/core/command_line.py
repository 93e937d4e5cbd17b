"""A command as it may be kept and shown: one line, without its secrets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from contextcore_install.core.redaction import HIDDEN, hide_secrets

LONGEST = 4_000
"""Characters that are kept: enough to paste all but generated commands."""


def command_line(argv: Sequence[str]) -> str:
    """Return a command as a shell would take it, cut to `LONGEST` characters, with what is secret hidden.

    Word by word, as a shell's quotes would hide from the patterns where a secret ends: it takes all that follows it
    in its word, and the whole word behind a flag that has the name of a secret.
    """
    words: list[str] = []
    secret_follows = False
    for word in argv:
        shown = HIDDEN if secret_follows and not word.startswith("-") else _word(word)
        secret_follows = word.startswith("-") and hide_secrets(f"{word} x") == f"{word} {HIDDEN}"
        words.append(shown)
    line = " ".join(words)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _word(word: str) -> str:
    shown = hide_secrets(word)
    if shown == word:
        return shlex.quote(word)
    return shown[: shown.index(HIDDEN) + len(HIDDEN)] if any(map(str.isspace, word)) else shown
