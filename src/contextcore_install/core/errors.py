"""Errors that a user can act on, the commands that their hints name, and the exit codes of the program."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from enum import IntEnum

from contextcore_install.core.dataclass import dataclass


class ExitCode(IntEnum):
    """Documented in docs/reference/exit-codes.md."""

    DONE = 0
    STEP_FAILED = 1
    USAGE = 2
    PREFLIGHT_FAILED = 3
    STATE_UNUSABLE = 4
    LOCKED = 5
    BUG = 70
    INTERRUPTED = 130


@dataclass(eq=False)
class InstallError(Exception):
    """An expected failure.

    `code` is stable and meant for scripts, `message` is one sentence, `evidence` what was seen (secrets are hidden),
    `hint` what to type or do next, and `retryable` says whether trying again can help by itself.
    """

    code: str
    message: str
    evidence: str = ""
    hint: str = ""
    retryable: bool = False
    exit_code: ExitCode = ExitCode.STEP_FAILED

    def __post_init__(self) -> None:
        if self.evidence:
            from contextcore_install.core.redaction import hide_secrets  # its patterns cost a start that fails nowhere

            self.evidence = hide_secrets(self.evidence)

    def __str__(self) -> str:
        return self.message

    def as_document(self) -> dict[str, str]:
        """Return the error as the state file, the journal and JSON output hold it."""
        document = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.evidence:
            document["evidence"] = self.evidence
        return document


MACHINE_REFUSES: Mapping[int, str] = {
    errno.ENOSPC: "free some disk space, then run the same command again",
    errno.EDQUOT: "free some of your disk quota, then run the same command again",
    errno.EROFS: "choose a folder that can be written with CONTEXTCORE_HOME=FOLDER",
    errno.EIO: "look at the disk's health (dmesg), then run the same command again",
    errno.EMFILE: "allow more open files: ulimit -n 1024, then run the same command again",
    errno.ENFILE: "close other programs, then run the same command again",
    errno.ENOMEM: "close other programs, then run the same command again",
}
"""Errors of an exhausted machine (man 3 errno), each with what helps."""


def usage_error(message: str, hint: str = "") -> InstallError:
    return InstallError("usage", message, hint=hint, exit_code=ExitCode.USAGE)


def state_error(code: str, message: str, hint: str) -> InstallError:
    return InstallError(code, message, hint=hint, exit_code=ExitCode.STATE_UNUSABLE)


class CancelledError(Exception):
    """Raised inside a step whose work was interrupted, or is out of time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


LAUNCHER = "create-cluster.sh"
PROGRAM = f"./{LAUNCHER}"
"""The name of the program in hints; `ui.hints` writes it as the program was started, with the flags it needs again."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")
_WITH_FIELDS = r"(?:[\w@%+=:,./-]|\{\w+\})+"


def quoted(word: str) -> str:
    """Return a word as a shell takes it; `{name}` in it stays for `str.format`."""
    if (word and _PLAIN.issuperset(word)) or re.fullmatch(_WITH_FIELDS, word, re.ASCII):
        return word
    from shlex import quote

    return quote(word)


def own(*words: str) -> str:
    """Return a command of this program."""
    return " ".join([PROGRAM, *map(quoted, words)])


RESUME, REPAIR, INSTALL_TOOLS = own("--resume"), own("--repair"), own("--install-tools")
