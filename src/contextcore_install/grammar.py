"""The subcommands, as data: what each is for, what it takes, and which shared flags make sense with it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.state import STATUSES, STEP_IDS

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of one command: its name or flags, and what argparse wants to know of it."""

    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        """The name under which it is found once parsed, as argparse derives it."""
        return str(self.options.get("dest") or self.names[-1].lstrip("-").replace("-", "_"))


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument, written as argparse has it."""
    return Argument(names, options)


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. Its module in `commands` has its name; `shared` names restricted flags that fit it."""

    summary: str
    arguments: tuple[Argument, ...] = ()
    shared: frozenset[str] = frozenset()


def port(text: str) -> int:
    """Return the port that an argument names; raises ValueError, which argparse tells of."""
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 65_535:
        return int(text[:9])
    raise ValueError(text)


def duration(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m or 1h30m; raises argparse's error for what is none."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no time, as in 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 7 * 86_400:
        raise argparse.ArgumentTypeError("it must be more than nothing and at most a week")
    return total


def remedies_an_hour(text: str) -> int:
    """Return a watch's budget; raises argparse's error for what is none."""
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from 1 to 100")


EVERYWHERE = frozenset({"--cluster", "--yes", "--output", "--verbose"})
"""Shared flags that nothing refuses."""

INSTALLING = frozenset({"--install-tools", "--port", "--timeout", "--provider", "--provider-options"})
"""Flags that say how an installation is made."""

MODES: Mapping[str, frozenset[str]] = {
    "install": INSTALLING | {"--tutorial", "--skip-wait", "--open"},
    "resume": INSTALLING | {"--tutorial", "--skip-wait", "--open"},
    "repair": INSTALLING | {"--tutorial", "--open", "--allow-data-loss"},
    "reset": frozenset(),
    "status": frozenset({"--live"}),
    "attach": frozenset(),
}
"""What is no subcommand, and the restricted flags that fit it."""

COMMANDS: Mapping[str, Command] = {
    "plan": Command(
        "show what an installation, or a repair, would do now, and change nothing",
        (argument("--repair", action="store_true", dest="for_repair", help="show what --repair would do"),),
        shared=(INSTALLING - {"--timeout"}) | {"--skip-wait"},
    ),
    "verify": Command(
        "check everything, and that the metrics can be read back", shared=frozenset({"--timeout"})
    ),
    "history": Command("show earlier runs"),
    "logs": Command(
        "show what the steps' commands printed in the latest run; of one STEP, in the last in which it did something",
        (argument("step", nargs="?", choices=STEP_IDS, metavar="STEP", help=", ".join(STEP_IDS)),),
    ),
    "dashboard": Command(
        "show the installation on a local page, live, until Ctrl-C",
        (
            argument(
                "--page-port", metavar="N", type=port, default=0, help="its port (default: any that is free)"
            ),
        ),
        shared=frozenset({"--open"}),
    ),
    "report": Command(
        "write that page as one file, to attach to a bug report",
        (
            argument(
                "-o",
                dest="file",
                metavar="FILE",
                required=True,
                help="where to, as in report.html; - prints it",
            ),
            argument("--no-redact", action="store_true", help="leave names, paths and secrets in it"),
        ),
    ),
    "diagnose": Command(
        "collect what helps to find out what is wrong into one redacted file",
        (
            argument(
                "file",
                nargs="?",
                metavar="FILE",
                help="where to (default: the cluster's folder bundles in ~/.contextcore)",
            ),
        ),
    ),
    "backup": Command(
        "write what the installation holds into one file",
        (
            argument(
                "-o",
                dest="file",
                metavar="FILE",
                help="where to (default: the cluster's folder backups in ~/.contextcore)",
            ),
        ),
    ),
    "restore": Command(
        "put back what a backup holds, in place of what is there",
        (
            argument("file", metavar="FILE", help="what `backup` wrote"),
            argument("--no-backup", action="store_true", help="do not back up what is replaced"),
        ),
        shared=frozenset({"--timeout"}),
    ),
    "rollback": Command(
        "take back what was installed, the last step first, and keep the data",
        (
            argument(
                "--to",
                choices=STEP_IDS,
                metavar="STEP",
                help="stop at this step, which stays (default: all of them)",
            ),
            argument("--no-backup", action="store_true", help="lose data that cannot outlive the cluster"),
        ),
        shared=frozenset({"--timeout"}),
    ),
    "watch": Command(
        "stay, look again and again, and heal what breaks; gives up when that does not help",
        (
            argument("--every", metavar="TIME", type=duration, default=60.0, help="between two looks (60s)"),
            argument(
                "--budget",
                metavar="N",
                type=remedies_an_hour,
                default=6,
                help="remedies an hour, after which it gives up (6)",
            ),
            argument("--install", action="store_true", help="have a service of yours do it from now on"),
            argument("--uninstall", action="store_true", help="end that service, and take it away"),
        ),
    ),
    "delete": Command(
        "end what runs, and remove the cluster with its data",
        (argument("--backup", action="store_true", help="back it up first; the file goes to the archive"),),
        shared=frozenset({"--timeout"}),
    ),
    "notify": Command(
        "set, show, try out (test) or clear who is told how runs end",
        (
            argument("action", choices=("set", "show", "test", "clear")),
            argument("urls", nargs="*", metavar="URL", help="refused: the URLs are secrets; see --file"),
            argument("--file", metavar="FILE", help="set: read the URLs from here, not from standard input"),
        ),
    ),
    "clusters": Command(
        "list the installations, how each stands and when it was last used", shared=frozenset({"--live"})
    ),
    "state": Command(
        "read or write a step's status from a script",
        (
            argument("action", choices=("get", "set", "send")),
            argument("step", nargs="?", choices=STEP_IDS, metavar="STEP", help=", ".join(STEP_IDS)),
            argument("value", nargs="?", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES)),
        ),
    ),
    "completion": Command(
        "print a completion script for a shell",
        (argument("shell", choices=("bash", "zsh", "tcsh")),),
    ),
}


def fits(command: str) -> frozenset[str]:
    """Return the restricted flags that make sense with a mode or a subcommand."""
    return MODES[command] if command in MODES else COMMANDS[command].shared
