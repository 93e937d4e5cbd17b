"""Errors that a user can act on, and the exit codes of the program."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with; documented in docs/reference/exit-codes.md."""

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
    """Something expected stands in the way.

    `code` is stable and meant for scripts, `message` is one sentence, `evidence` what was seen,
    `hint` what to type or do next, and `retryable` says whether trying again can help by itself. What looks secret in
    the evidence is hidden: it is what programs said.
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
        """Return the error as the state file, the journal and JSON output show it."""
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
"""What the system says where the machine and not the program is at its end, and what helps (man 3 errno)."""


def usage_error(message: str, hint: str = "") -> InstallError:
    """Return the error for a command line that cannot be carried out."""
    return InstallError("usage", message, hint=hint, exit_code=ExitCode.USAGE)


class CancelledError(Exception):
    """Raised inside a step when its work is to end now: interrupted, or out of time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
