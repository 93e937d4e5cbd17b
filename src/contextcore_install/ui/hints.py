"""The commands that people are told to type next, as they are typed here: pasted, each does what it was shown for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from contextcore_install.cli.grammar import ARGUMENTS, COMMANDS, DEFAULT_CLUSTER, FLAGS, MODES
from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import LAUNCHER, PROGRAM, quoted
from contextcore_install.ui.style import Style
from contextcore_install.ui.text import LIMIT, cells, sanitize

_PROGRAMS = (
    *("apt", "apt-get", "brew", "cat", "chmod", "chown", "colima", "contextcore-install", "cp", "curl", "df", "dnf"),
    *("docker", "export", "kill", "kind", "kubectl", "limactl", "lsof", "minikube", "mkdir", "mv"),
    *("nerdctl", "open", "orb", "pip", "podman", "powershell.exe", "ps", "rdctl", "rm", "ss", "sudo", "sysctl"),
    *("systemctl", "systemd-run", "ulimit", "unset", "wsl", "wsl.exe"),
)
"""What hints and remedies begin with when they are to be typed as they stand."""

_PIECE = r"""'[^']*'|"[^"]*"|\\.|[^\s'"\\`();&|<>]"""
_NAME = rf"(?:{re.escape(LAUNCHER)}|contextcore-install)"
_START = (
    rf"(?<![^\s`(])(?P<variables>(?:[A-Z_][A-Z0-9_]*=(?:{_PIECE})* )*)"
    rf"(?P<program>(?:{_PIECE})*?(?:{_NAME}|'[^']*{_NAME}'))(?![\w'\"/=-]|\.\w)"
)
_NEXT = rf" ((?:{_PIECE})+)"
_VARIABLE = rf"([A-Z_][A-Z0-9_]*)=((?:{_PIECE})*) "
_MODES = {f"--{mode}": mode for mode in MODES}
_BARE = frozenset({"--help", "--version", "-h"})
_TAKES_VALUE = dict.fromkeys([*_MODES, *_BARE], False) | {name: bool(flag.value) for name, flag in FLAGS.items()}
_OF_RECORDS = frozenset(
    {"attach", "clusters", "completion", "history", "logs", "notify", "report", "reset", "state", "status"}
)
_INSTALL_TOOLS, _BUNDLE = "--install-tools", "--bundle"
GIVEN_AGAIN = frozenset({_INSTALL_TOOLS, "--pull", _BUNDLE, "--bundle-key"})
"""What a command that carries on is given again: it says how a run may go about it, which not every run may."""


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """A command of this program in a text: from `start` to `end`, its words and variables as they are quoted there."""

    start: int
    end: int
    variables: dict[str, str]
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """The mode or subcommand that it is, by the grammar's name; empty if it only asks for help."""
        if not _BARE.isdisjoint(self.words):
            return ""
        named = (word for word in self.words if word in COMMANDS)
        modes = (_MODES[word] for word in self.words if word in _MODES)
        return next(named, "") or next(modes, "") or "install"

    @property
    def is_of_records(self) -> bool:
        """Whether it looks at no more than what is on record."""
        return self.command in _OF_RECORDS and "--live" not in self.words

    def values(self, flag: str) -> list[str]:
        """Return the values that it gives a flag, and "" for one without a value; nothing if it has no such flag."""
        joined = [word.partition("=")[2] for word in self.words if word.startswith(f"{flag}=")]
        return joined + [after for word, after in pairwise([*self.words, ""]) if word == flag]


@dataclass(frozen=True, slots=True)
class Commands:
    """Makes the program's own commands, with what an invocation was given that they need to mean the same.

    `default_cluster` need not be named. `flags` say how the installation is made, each with its value ("" for none);
    `variables` always count, `place_variables` for what looks further than the records, and `option_variables` (by the
    flag that each stands for) if such flags do. `free_port` finds a port that a component may have instead of its own;
    0 if there is none to name. `bundle` tells the offline bundle that the installation's tools came from, which hints
    then name instead of `--install-tools`; empty for none.
    """

    program: str = PROGRAM
    cluster: str = ""
    default_cluster: str = DEFAULT_CLUSTER
    flags: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    place_variables: Mapping[str, str] = field(default_factory=dict)
    option_variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    free_port: Callable[[str], int] = lambda _: 0
    bundle: Callable[[], str] = lambda: ""

    def typed(self, text: str) -> str:
        """Return a text with each of the program's commands as it is typed here. Doing it twice changes nothing."""
        pieces, at = [], 0
        for found in commands_in(text):
            pieces += [text[at : found.start], self._typed(found)]
            at = found.end
        return "".join([*pieces, text[at:]])

    def __call__(self, *words: str) -> str:
        """Return a command, ready to be typed from where the program was started."""
        return self._typed(OwnCommand(0, 0, {}, tuple(map(quoted, words))))

    def on_record(self, again: Collection[str] = ()) -> Commands:
        """Return the commands for an installation that has its settings on record: only the flags `again` stay."""
        return replace(self, flags=tuple(pair for pair in self.flags if pair[0] in again), option_variables={})

    def not_placed(self) -> Commands:
        """Return the commands for an installation that may lack some of what comes from its bundle."""
        path = self.bundle()
        is_given = not path or _BUNDLE in dict(self.flags)
        return self if is_given else replace(self, flags=(*self.flags, (_BUNDLE, path)))

    def _typed(self, found: OwnCommand) -> str:
        words = [_quoted(self.program), *map(self._with_port, self._with_tools(found.words))]
        command = found.command
        if not command:
            return " ".join(words)
        here = self.variables if found.is_of_records else {**self.variables, **self.place_variables}
        variables = found.variables | {name: _quoted(value) for name, value in here.items()}
        for flag, (name, value) in self.option_variables.items():
            if command in FLAGS[flag].commands and not found.values(flag):
                variables[name] = _quoted(value)
        for flag, value in self.flags:
            if command in FLAGS[flag].commands and _goes_with(flag, value, found):
                words += [flag, _quoted(value)] if value else [flag]
        named = self.cluster in {"", self.default_cluster} or found.values("--cluster")
        if not named and command in FLAGS["--cluster"].commands:
            words += ["--cluster", _quoted(self.cluster)]
        return " ".join([*(f"{name}={value}" for name, value in variables.items()), *words])

    def _with_tools(self, words: Sequence[str]) -> Sequence[str]:
        """Return a command's words, with the bundle that tools come from in place of the flag that fetches them."""
        given = {flag for flag, _ in self.flags}
        if _INSTALL_TOOLS not in words or (_INSTALL_TOOLS in given and _BUNDLE not in given):
            return words
        others = [word for word in words if word != _INSTALL_TOOLS]
        if _BUNDLE in given:
            return others  # as it is added like any flag that was given
        path = self.bundle()
        return [*others, _BUNDLE, _quoted(path)] if path else words

    def _with_port(self, word: str) -> str:
        """Return a word of a command, with a free port in place of the placeholder in `--port COMPONENT=PORT`."""
        key, placeholder, _ = word.partition("=PORT")
        port = self.free_port(key) if placeholder else 0
        return f"{key}={port}" if port else word


def _goes_with(flag: str, value: str, found: OwnCommand) -> bool:
    """Whether a command lacks a flag, and has nothing that it contradicts."""
    if flag == "--port":
        return {part for pair in found.values(flag) for part in pair.split("=")}.isdisjoint(value.split("="))
    providers, provider = FLAGS[flag].providers, next(iter(found.values("--provider")), "")
    return not found.values(flag) and (not providers or provider in {"", *providers})


def _quoted(word: str) -> str:
    return quoted(sanitize(word, 4096))


def commands_in(text: str) -> Iterator[OwnCommand]:
    """Yield the commands of this program in a text. A name without a folder or words is one only if it stands alone."""
    if LAUNCHER not in text and "contextcore-install" not in text:
        return
    for found in re.finditer(_START, text):
        words, end = _words(text, found.end())
        if words or "/" in found["program"] or found[0] == text:
            yield OwnCommand(found.start(), end, dict(re.findall(_VARIABLE, found["variables"])), tuple(words))


def _words(text: str, at: int) -> tuple[list[str], int]:
    """Return the words of the command whose program ends at a place, as far as the grammar takes them, and its end."""
    words: list[str] = []
    takes_value, command, awaits_value = dict(_TAKES_VALUE), "", False
    places: list[str | tuple[str, ...]] = []  # what may stand for each positional argument that is still to come
    piece = re.compile(_NEXT)
    while found := piece.match(text, at):
        word = found[1] if found[1][-1] in "'\"" else found[1].rstrip(",.:;")
        name = word.partition("=")[0]
        if awaits_value and word:
            awaits_value = False
        elif name in takes_value:
            awaits_value = takes_value[name] and name == word
        elif word in COMMANDS and not command:
            command = word
            arguments = ARGUMENTS.get(word, ())
            takes_value |= {each.name: bool(each.value) for each in arguments if each.name.startswith("-")}
            places = [each.value for each in arguments if not each.name.startswith("-")]
        elif places and _may_stand_for(places[0], word):
            del places[0]
        else:
            break
        words.append(word)
        at = found.start(1) + len(word)
        if word != found[1]:
            break
    return words, at


def _may_stand_for(choices: str | tuple[str, ...], word: str) -> bool:
    """Whether a word is an argument, and not the next of a sentence: one of the choices, a path, or a placeholder."""
    if isinstance(choices, tuple):
        return word in choices
    return not word.startswith("-") and (word.isupper() or any(character in word for character in "/.'\""))


def is_command(text: str) -> bool:
    """Whether a hint is something to type, as opposed to a sentence."""
    first = text.split(" ", 1)[0]
    if first in _PROGRAMS or first.startswith(("./", "/", "~/")) or ("=" in first and first[:1].isupper()):
        return True
    found = next(commands_in(text), None)
    return found is not None and (found.start, found.end) == (0, len(text))


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
