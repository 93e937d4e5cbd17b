"""The commands that people are told to type next, as they are typed here: pasted, each does what it was shown for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from contextcore_install.cli.grammar import DEFAULT_CLUSTER, FLAGS
from contextcore_install.core.hints import PROGRAM
from contextcore_install.ui.hint_words import OwnCommand, commands_in
from contextcore_install.ui.style import Style
from contextcore_install.ui.text import LIMIT, cells, sanitize

_PROGRAMS = (
    *("apt", "apt-get", "brew", "chmod", "chown", "colima", "contextcore-install", "cp", "curl", "df", "dnf"),
    *("docker", "export", "kill", "kind", "kubectl", "limactl", "lsof", "minikube", "mkdir", "mv"),
    *("nerdctl", "open", "orb", "pip", "podman", "powershell.exe", "ps", "rdctl", "rm", "ss", "sudo", "sysctl"),
    *("systemctl", "systemd-run", "ulimit", "unset", "wsl", "wsl.exe"),
)
"""What hints and remedies begin with when they are to be typed as they stand."""

_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """What an invocation was given that a later command needs again to mean the same.

    `flags` say how the installation is made, each with its value ("" for none); `variables` always count, and
    `option_variables` (by the flag that each stands for) where such flags do. `free_port` finds a port that a
    component may have instead of its own; 0 where there is none to name.
    """

    flags: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    option_variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    free_port: Callable[[str], int] = lambda _: 0

    def on_record(self, again: Collection[str] = ()) -> Given:
        """Return what is needed where the installation has its settings on record, and the flags `again` beside it."""
        flags = tuple(pair for pair in self.flags if pair[0] in again)
        return Given(flags, self.variables, free_port=self.free_port)


NOTHING = Given()

GIVEN_AGAIN = frozenset({"--install-tools", "--pull"})
"""What a command that carries on is given again: it says how a run may go about it, which not every run may."""


class Commands:
    """Makes the program's own commands. `default_cluster` is the one that need not be named."""

    def __init__(
        self, program: str = PROGRAM, cluster: str = "", default_cluster: str = DEFAULT_CLUSTER, given: Given = NOTHING
    ) -> None:
        self._program = program
        self._cluster = "" if cluster == default_cluster else cluster
        self._given = given

    def typed(self, text: str) -> str:
        """Return a text with each of the program's commands as it is typed here. Doing it twice changes nothing."""
        pieces, at = [], 0
        for found in commands_in(text):
            pieces += [text[at : found.start], self._typed(found)]
            at = found.end
        return "".join([*pieces, text[at:]])

    def __call__(self, *words: str) -> str:
        """Return a command, ready to be typed from where the program was started."""
        return self.typed(" ".join((PROGRAM, *map(_quoted, words))))

    def on_record(self, again: Collection[str] = ()) -> Commands:
        """Return the commands for an installation that has its settings on record: only the flags `again` stay."""
        return Commands(self._program, self._cluster, "", self._given.on_record(again))

    def _typed(self, found: OwnCommand) -> str:
        words = [_quoted(self._program), *map(self._with_port, found.words)]
        command = found.command
        if not command:
            return " ".join(words)
        variables = {**found.variables, **{name: _quoted(text) for name, text in self._given.variables.items()}}
        for flag, (name, value) in self._given.option_variables.items():
            if command in FLAGS[flag].commands and not found.names(flag):
                variables[name] = _quoted(value)
        for flag, value in self._missing(found):
            words += [flag, _quoted(value)] if value else [flag]
        if self._cluster and not found.names("--cluster") and command in FLAGS["--cluster"].commands:
            words += ["--cluster", _quoted(self._cluster)]
        return " ".join([*(f"{name}={value}" for name, value in variables.items()), *words])

    def _with_port(self, word: str) -> str:
        """Return a word of a command, with a free port in place of the placeholder in `--port COMPONENT=PORT`."""
        key, placeholder, _ = word.partition("=PORT")
        port = self._given.free_port(key) if placeholder else 0
        return f"{key}={port}" if port else word

    def _missing(self, found: OwnCommand) -> list[tuple[str, str]]:
        """Return the given flags that a command takes and lacks, and that do not contradict those it has."""
        provider = next(iter(found.names("--provider")), "")
        ports = [pair.partition("=") for pair in found.names("--port")]
        has_ports = {name for name, _, _ in ports}, {number for _, _, number in ports}
        missing = []
        for flag, value in self._given.flags:
            if found.command not in FLAGS[flag].commands or (flag != "--port" and found.names(flag)):
                continue
            if provider and FLAGS[flag].providers and provider not in FLAGS[flag].providers:
                continue
            name, _, number = value.partition("=")
            if flag == "--port" and (name in has_ports[0] or number in has_ports[1]):
                continue
            missing.append((flag, value))
        return missing


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    from shlex import quote

    return quote(sanitize(word, 4096))


def is_command(text: str) -> bool:
    """Whether a hint is something to type, as opposed to a sentence."""
    first = text.split(" ", 1)[0]
    if first in _PROGRAMS or first.startswith(("./", "/", "~/")) or ("=" in first and first[:1].isupper()):
        return True
    own = next(commands_in(text), None)
    return own is not None and own.start == 0 and own.end == len(text)


def hint_lines(style: Style, hint: object, *, label: str = "", indent: int = 2) -> list[str]:
    """Return what to do next: a command whole on its line, so that it can be copied; a sentence wrapped."""
    text = style.typed(sanitize(hint, 3 * LIMIT))
    if not text:
        return []
    lead = " " * indent + label
    if is_command(text):
        return [style.line(lead, (text, "strong"), whole=True)]
    sentence, _, command = text.rpartition(": ")
    if sentence and is_command(command) and cells(lead + text) > style.width:
        lines = style.paragraph(f"{sentence}:", first=[(lead, "")], indent=len(lead))
        return [*lines, style.line(" " * len(lead), (command, "strong"), whole=True)]
    return style.paragraph(text, first=[(lead, "")], indent=len(lead))
