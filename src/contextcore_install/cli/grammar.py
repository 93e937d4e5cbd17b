"""The subcommands, as data: what each is for, what it takes, and which shared flags make sense with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contextcore_install.cli.flags import Argument, argument, duration, port, remedies_an_hour
from contextcore_install.engine.state import STATUSES, STEP_IDS

EVERYWHERE = frozenset({"--cluster", "--yes", "--output", "--verbose"})
"""Shared flags that nothing refuses."""

QUIETLY = frozenset({"--yes", "--verbose"})
"""What is taken by commands that ask nothing and run nothing, so that scripts may always give it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. Its module in `commands` has its name.

    `shared` names the restricted flags that fit it. `unused` names those of `EVERYWHERE` that it takes although they
    mean nothing to it: its help and hints leave them out.
    """

    summary: str
    arguments: tuple[Argument, ...] = ()
    shared: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset({"--verbose"})


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
        (
            argument("--repair", action="store_true", dest="for_repair", help="show what --repair would do"),
            argument(
                "--detailed-exitcode",
                action="store_true",
                help="exit code 0: nothing to do, 1: an error or an obstacle, 2: something to do",
            ),
        ),
        shared=(INSTALLING - {"--timeout"}) | {"--skip-wait"},
        unused=QUIETLY,
    ),
    "verify": Command(
        "check everything, and that the metrics can be read back", shared=frozenset({"--timeout"}), unused=QUIETLY
    ),
    "history": Command("show earlier runs", unused=QUIETLY),
    "logs": Command(
        "show what the steps' commands printed in the latest run; of one STEP, in the last in which it did something",
        (argument("step", nargs="?", choices=STEP_IDS, metavar="STEP", help=", ".join(STEP_IDS)),),
        unused=QUIETLY,
    ),
    "dashboard": Command(
        "show the installation on a local page, live, until Ctrl-C",
        (argument("--page-port", metavar="N", type=port, default=0, help="its port (default: any that is free)"),),
        shared=frozenset({"--open"}),
        unused=QUIETLY,
    ),
    "report": Command(
        "write that page as one file, to attach to a bug report",
        (
            argument("-o", dest="file", metavar="FILE", required=True, help="where to, as in report.html; - prints it"),
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
                help="where to (default: the cluster's folder bundles in ~/.contextcore); - prints it",
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
                help="where to (default: the cluster's folder backups in ~/.contextcore); - prints it",
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
        unused=frozenset(),
    ),
    "rollback": Command(
        "take back what was installed, the last step first, and keep the data",
        (
            argument(
                "--to", choices=STEP_IDS, metavar="STEP", help="stop at this step, which stays (default: all of them)"
            ),
            argument("--no-backup", action="store_true", help="lose data that cannot outlive the cluster"),
        ),
        shared=frozenset({"--timeout"}),
        unused=frozenset(),
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
        unused=frozenset(),
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
        unused=QUIETLY | {"--cluster"},
    ),
    "clusters": Command(
        "list the installations, how each stands and when it was last used",
        shared=frozenset({"--live"}),
        unused=QUIETLY | {"--cluster"},
    ),
    "state": Command(
        "read or write a step's status from a script",
        (
            argument("action", choices=("get", "set", "send")),
            argument("step", nargs="?", choices=STEP_IDS, metavar="STEP", help=", ".join(STEP_IDS)),
            argument("value", nargs="?", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES)),
        ),
        unused=QUIETLY,
    ),
    "completion": Command(
        "print a completion script for a shell",
        (argument("shell", choices=("bash", "zsh", "fish", "tcsh")),),
        unused=EVERYWHERE,
    ),
}


def fits(command: str) -> frozenset[str]:
    """Return the restricted flags that make sense with a mode or a subcommand."""
    return MODES[command] if command in MODES else COMMANDS[command].shared
