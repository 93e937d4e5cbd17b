"""The commands that people are told to type next, with the cluster named where it must be."""

from __future__ import annotations

import re

from contextcore_install.ui.look import Look
from contextcore_install.ui.text import LIMIT, harmless

_PROGRAMS = (
    *("apt", "apt-get", "brew", "chmod", "chown", "colima", "contextcore-install", "cp", "curl", "df", "dnf"),
    *("docker", "export", "kill", "kind", "kubectl", "lsof", "minikube", "mkdir", "mv", "nerdctl", "open"),
    *("pip", "podman", "ps", "rm", "ss", "sudo", "sysctl", "systemctl", "ulimit", "unset", "wsl"),
)
"""What hints and remedies begin with when they are to be typed as they stand."""


PROGRAM = "./create-cluster.sh"
"""How hints name the program, wherever they come from."""


_ONE_COMMAND = re.compile(re.escape(PROGRAM) + r"( [\w./=:-]+)*")


class Commands:
    """Makes the program's own commands. `default_cluster` is the one taken when none is named."""

    def __init__(self, program: str = PROGRAM, cluster: str = "", default_cluster: str = "o11y-dev") -> None:
        self._program = program
        self._tail = "" if not cluster or cluster == default_cluster else f" --cluster {_quoted(cluster)}"

    def typed(self, text: str) -> str:
        """Return a hint with the program as it was started, and with the cluster where it is, or ends with, a command.

        It ends with one behind a colon: elsewhere it is not to be seen where a command in a sentence ends.
        """
        if PROGRAM not in text:
            return text
        command = text.rpartition(": ")[2]
        tail = self._tail if _ONE_COMMAND.fullmatch(command) and "--cluster" not in text else ""
        return text.replace(PROGRAM, self._program) + tail

    def __call__(self, *words: str) -> str:
        """Return a command, ready to be typed from where the program was started."""
        return " ".join((self._program, *words)) + self._tail


def _quoted(word: str) -> str:
    if word.isascii() and word.replace("-", "").replace(".", "").replace("_", "").isalnum():
        return word
    from shlex import quote

    return quote(harmless(word))


def is_command(text: str) -> bool:
    """Whether a hint is something to type, as opposed to a sentence."""
    first = text.split(" ", 1)[0]
    return first in _PROGRAMS or first.startswith(("./", "/", "~/")) or ("=" in first and first[:1].isupper())


def hint_lines(look: Look, hint: object, *, label: str = "", indent: int = 2) -> list[str]:
    """Return what to do next: a command whole on its line, so that it can be copied; a sentence wrapped."""
    text = look.typed(harmless(hint, 3 * LIMIT))
    if not text:
        return []
    lead = " " * indent + label
    if is_command(text):
        return [look.line(lead, (text, "strong"), whole=True)]
    return look.paragraph(text, first=[(lead, "")], indent=len(lead))
