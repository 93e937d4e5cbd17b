"""What is taken out of text before it is kept, sent or handed to others: secrets always, personal names on request.

Better one word too many hidden than one secret shown: `redaction.toml` has the names that programs give to secrets, and
the forms that only secrets have.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.tables import read_table

HIDDEN = "<hidden>"

_TABLE = read_table(Path(__file__).with_suffix(".toml"))
_PATTERNS: Sequence[tuple[str, str]] = [
    (each["find"].replace("@NAME@", _TABLE["name"]).replace("@VALUE@", _TABLE["value"]), each["instead"])
    for each in _TABLE["patterns"]
]
_MARKS: Sequence[str] = _TABLE["marks"]
_NAMES_A_SECRET = rf"(?i)[\w.-]{{0,60}}{_TABLE['name']}"


def hide_secrets(text: str) -> str:
    """Return text with passwords, tokens, keys and credentials replaced by `<hidden>`."""
    if text.isascii() and not _may_have_secrets(text.lower()):
        return text
    for pattern, instead in _PATTERNS:
        text = re.sub(pattern, instead, text)
    return text


def _may_have_secrets(lowered: str) -> bool:
    for mark in _MARKS:  # noqa: SIM110 - every event passes here, and a generator takes twice as long
        if mark in lowered:
            return True
    return False


def without_secrets(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a JSON object without secrets: the same object if it has none, as nearly all have not."""
    text = "\n".join(_texts(document))
    return document if hide_secrets(text) == text else _NO_NAMES.document(document)


def _texts(value: Any, name: str = "") -> list[str]:
    """Return every text in a document as `name=text`, so that a secret's name stands beside it."""
    if isinstance(value, str):
        return [f"{name}={value}"]
    if isinstance(value, dict | Mapping):  # a dict is recognised many times faster
        return [text for key, member in value.items() for text in _texts(member, str(key))]
    if isinstance(value, list | tuple):
        return [text for member in value for text in _texts(member, name)]
    return []


def names_a_secret(name: str) -> bool:
    return re.fullmatch(_NAMES_A_SECRET, name) is not None


class Redaction:
    """Takes secrets and the names of persons and machines out of text and documents.

    The home folder becomes `~`, the host `HOST`, the user `USER`, except those shorter than three characters, which
    match anywhere. `secrets` are known ones: they are hidden wherever they stand if they have six characters or more.
    """

    def __init__(self, *, home: str = "", host: str = "", user: str = "", secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) > 5}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None
        names = {home.rstrip("/"): "~", host: "HOST", host.partition(".")[0]: "HOST", user: "USER"}
        wanted = sorted((name for name in names if len(name) > 2), key=len, reverse=True)
        self._names = names
        self._pattern = (
            re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in wanted)) if wanted else None
        )

    def text(self, text: str) -> str:
        text = hide_secrets(self._secrets.sub(HIDDEN, text) if self._secrets else text)
        return self._pattern.sub(lambda found: self._names[found[0]], text) if self._pattern else text

    def document(self, value: Any) -> Any:
        """Return a JSON document without names and secrets, in keys too; a value under a secret's name is hidden."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._member(str(key), member) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(member) for member in value]
        return value

    def _member(self, key: str, value: Any) -> Any:
        if isinstance(value, str) and value and names_a_secret(key):
            return HIDDEN
        return self.document(value)


_NO_NAMES = Redaction()


LONGEST = 4_000  # characters of a command line that are kept: enough to paste all but generated commands


def command_line(argv: Sequence[str]) -> str:
    """Return a command as one line for a shell, cut to `LONGEST` characters, with secrets hidden.

    Secrets are looked for word by word, as a shell's quotes would hide from the patterns where one ends: a secret takes
    the rest of its word, and the whole word behind a flag with a secret's name.
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
