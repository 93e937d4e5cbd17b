"""The command line as data: each flag, mode and subcommand once, for parser, help, refusals, completion and hints."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.engine.names import STATUSES, STEP_IDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_CLUSTER = "o11y-dev"

_Value = str | tuple[str, ...]

_DURATION = r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?"


@dataclass(frozen=True, slots=True)
class Argument:
    """A flag, or a positional argument of a subcommand.

    `value` is empty for a switch, else a placeholder or the choices. `commands` are the modes and subcommands to which
    a shared flag means something: the others refuse it, unless it is `tolerated`. `providers` are those that it means
    something to, if not to all. A `kept` value counts for later runs too; a `machine_local` one is never replicated.
    """

    name: str
    value: _Value = ""
    help: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)  # for argparse
    commands: frozenset[str] = frozenset()
    providers: tuple[str, ...] = ()
    tolerated: bool = False
    kept: bool = False
    machine_local: bool = False
    variable: str = ""  # the environment variable that stands for it

    @property
    def destination(self) -> str:
        return str(self.more.get("dest") or self.name.lstrip("-").replace("-", "_"))

    @property
    def options(self) -> dict[str, Any]:
        how = {"choices": self.value} if isinstance(self.value, tuple) else {"metavar": self.value}
        return {"help": self.help, **(how if self.value else {"action": "store_true"}), **self.more}


def _duration(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m or 1h30m; raises argparse's error for anything else."""
    match = re.fullmatch(_DURATION, text.strip())
    if not match or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no time, as in 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 7 * 86_400:
        raise argparse.ArgumentTypeError("it must be more than nothing and at most a week")
    return total


def _number(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a number within bounds; it raises argparse's error for anything else."""

    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text[:9]) <= most:
            return int(text[:9])
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from {least} to {most}")

    return read


def absolute(text: str) -> str:
    """Return a path so that a later run from elsewhere finds it, also one whose tilde no shell has expanded."""
    path = Path(text)
    with suppress(RuntimeError):  # a home that nobody has
        path = path.expanduser()
    return str(path.absolute())


def _registry(text: str) -> str:
    """Return a mirror's prefix: a part of images' names, which everybody sees and which holds no credentials."""
    if "@" in text or "://" in text:
        raise argparse.ArgumentTypeError(
            "it is the beginning of images' names, without scheme and credentials, as in mirror.example:5000/hub"
        )
    return text


def _mirror(text: str) -> str:
    """Return a mirror's URL; it is recorded and shown, and holds no credentials."""
    if not re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\w./~-]*)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            "it is a URL without credentials, as in https://mirror.example/releases; "
            "a name and password for it belong in ~/.netrc"
        )
    return text.rstrip("/")


MODES: Mapping[str, str] = {
    "resume": "continue where the installation stopped",
    "repair": "check everything, and repair what is broken",
    "reset": "archive the state; touches no cluster",
    "status": "show the status of the installation",
    "attach": "follow the run that is in progress",
}
"""Flags that say what to do, each with its help; without one and without a subcommand it is `install`."""

COMMANDS: Mapping[str, str] = {
    "plan": "show what an installation or a repair would do now, and change nothing",
    "verify": "check everything end to end: write to the stores, and read back",
    "history": "show earlier runs",
    "logs": "show the output of the latest run's commands, or of the last run in which STEP did something",
    "dashboard": "show the installation on a local page, live, until Ctrl-C",
    "report": "write that page to one file, to attach to a bug report",
    "diagnose": "say what is wrong, and collect the evidence in one redacted file",
    "backup": "write records and data to one file",
    "restore": "restore a backup, replacing what exists",
    "bundle": "make, check or list one file with everything to install without a network",
    "rollback": "undo the steps, the last first, and keep the data",
    "watch": "monitor continuously and repair what breaks, within a budget",
    "delete": "end what runs, and delete the cluster with its data",
    "notify": "set, show, test or clear the contact points that are notified when runs end",
    "clusters": "list the installations, their status and when each was last used",
    "state": "read or write a step's status from a script",
    "completion": "print a completion script for a shell",
}
"""The subcommands, each with its help. Its module in `commands` has its name."""

_STEP = Argument("step", STEP_IDS, ", ".join(STEP_IDS), {"nargs": "?", "metavar": "STEP"})
_FOLDER = "target (default: the cluster's folder {} in ~/.contextcore); - prints it"
_FILE, _EVERY, _BUDGET = {"dest": "file"}, {"type": _duration, "default": 60.0}, {"type": _number(1, 100), "default": 6}

BUNDLE_PLATFORMS = ("linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64")

ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    "plan": (
        Argument("--repair", help="show what --repair would do", more={"dest": "for_repair"}),
        Argument("--detailed-exitcode", help="exit code 0: nothing to do, 1: an error or an obstacle, 2: work to do"),
    ),
    "logs": (_STEP,),
    "dashboard": (Argument("--page-port", "N", "its port (default: any)", {"type": _number(1, 65_535), "default": 0}),),
    "report": (
        Argument("-o", "FILE", "target, such as report.html; - prints it", {**_FILE, "required": True}),
        Argument("--no-redact", help="leave names, paths and secrets in it"),
    ),
    "diagnose": (Argument("file", "FILE", _FOLDER.format("bundles"), {"nargs": "?"}),),
    "backup": (Argument("-o", "FILE", _FOLDER.format("backups"), _FILE),),
    "restore": (
        Argument("file", "FILE", "a file written by `backup`"),
        Argument("--no-backup", help="do not back up what is replaced"),
    ),
    "bundle": (
        Argument("action", ("make", "verify", "list"), "(default make)", {"nargs": "?", "default": "make"}),
        Argument("bundle", "FILE", "verify, list: the bundle", {"nargs": "?"}),
        Argument("-o", "FILE", "make: target, such as stack.tar", _FILE),
        Argument("--platform", BUNDLE_PLATFORMS, "make: of the machine to install on (default: this one's)"),
        Argument("--sign-key", "FILE", "make: sign with this secret key of minisign"),
        Argument("--password-file", "FILE", "make: the key's password is its first line (default: you are asked)"),
        Argument("--public-key", "KEY", "verify: it must be signed by this key of minisign, or the one in a file"),
    ),
    "rollback": (
        Argument("--to", STEP_IDS, "stop at this step, which stays (default: all of them)", {"metavar": "STEP"}),
        Argument("--no-backup", help="delete data that cannot outlive the cluster"),
    ),
    "watch": (
        Argument("--every", "TIME", "between two checks (60s)", _EVERY),
        Argument("--budget", "N", "remedies an hour, after which it gives up (6)", _BUDGET),
        Argument("--install", help="install it as a service of this user"),
        Argument("--uninstall", help="stop and remove that service"),
    ),
    "delete": (Argument("--backup", help="back up first; the file goes to the archive"),),
    "notify": (
        Argument("action", ("set", "show", "test", "clear")),
        Argument("urls", "URL", "refused: the URLs are secrets; see --file", {"nargs": "*"}),
        Argument("--file", "FILE", "set: read the URLs from here, not from standard input"),
    ),
    "state": (
        Argument("action", ("get", "set", "send")),
        _STEP,
        Argument("value", STATUSES, ", ".join(STATUSES), {"nargs": "?", "metavar": "STATUS"}),
    ),
    "completion": (Argument("shell", ("bash", "zsh", "fish", "tcsh")),),
}
"""What one subcommand takes beside the shared flags."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "bundle": (
        "bundle -o stack.tar --provider kind",
        "bundle -o stack.tar --provider host --platform linux/arm64 --sign-key minisign.key",
        "bundle verify stack.tar --public-key minisign.pub",
        "bundle list stack.tar",
    )
}
"""Command lines that a subcommand's help shows."""

_ALL = frozenset({"install", *MODES, *COMMANDS})
_INSTALLING = frozenset({"install", "resume", "repair"})
_PLANNING = _INSTALLING | {"plan"}
_WITH_TIMEOUT = _INSTALLING | {"verify", "restore", "rollback", "delete"}
_WITH_LIVE_VIEW = frozenset({"install", *MODES, "restore", "rollback", "watch"})
_PROMPTING = _WITH_LIVE_VIEW | {"report", "diagnose", "backup", "bundle", "delete"}
_BUNDLING = _PLANNING | {"bundle"}
_CLUSTER = _ALL - {"notify", "clusters", "completion", "bundle"}
_WAITING = frozenset({"install", "resume", "plan"})
_CHECKING_LIVE = frozenset({"status", "clusters"})
_REPAIRS = frozenset({"repair"})
_KIND, _KUBE, _ALL_PROVIDERS = ("kind",), ("kind", "kube-context"), ("kind", "kube-context", "host")
_PROVIDERS = ("auto", *_ALL_PROVIDERS)
_OFFLINE: dict[str, Any] = {"type": absolute, "dest": "offline_bundle", "providers": _ALL_PROVIDERS}


def _flag(name: str, value: _Value, text: str, commands: frozenset[str] = _PLANNING, **facts: Any) -> Argument:
    more: dict[str, Any] = {key: facts.pop(key) for key in ("type", "action", "dest") if key in facts}
    text += f" (or {facts['variable']})" if "variable" in facts else ""
    return Argument(name, value, text, more, commands, **facts)


_kept = partial(_flag, kept=True)

_REGISTRY_HELP = "take images from this mirror: mirror.example/hub"
_COMPONENTS_HELP = "host: these, as in loki,grafana, and a metrics store; or all"
_INSTALLATION_FLAGS = (
    _kept("--cluster", "NAME", "the cluster (default o11y-dev, or CONTEXTCORE_CLUSTER)", _CLUSTER, tolerated=True),
    _kept("--provider", _PROVIDERS, "where the stack runs (default auto)", _BUNDLING),
    _kept("--port", "COMPONENT=PORT", "the host port of a component; repeatable", action="append"),
    _kept("--workers", "N", "kind: worker nodes (default 0)", type=_number(0, 16), providers=_KIND),
    _kept("--node-image", "IMAGE", "kind: the node image", _BUNDLING, providers=_KIND, variable="KIND_NODE_IMAGE"),
    _kept("--context", "NAME", "kube-context: kubectl's context", providers=("kube-context",), machine_local=True),
    _kept("--manifests", "DIR", "install this kustomization", type=absolute, providers=_KUBE, variable="K8S_MANIFESTS"),
    _kept("--registry", "PREFIX", _REGISTRY_HELP, _BUNDLING, type=_registry, providers=_KUBE),
    _kept("--components", "NAMES", _COMPONENTS_HELP, _BUNDLING, providers=("host",)),
    _kept(
        "--memory", "MIB", "host: for the whole stack (default 1536)", type=_number(512, 999_999), providers=("host",)
    ),
    _kept("--install-tools", "", "fetch missing tools into ~/.contextcore", machine_local=True),
    _kept(
        "--mirror",
        "URL",
        "fetch tools from this mirror",
        _BUNDLING,
        type=_mirror,
        providers=_ALL_PROVIDERS,
        machine_local=True,
        variable="CONTEXTCORE_MIRROR",
    ),
)
"""What is installed, and where: kept with the installation."""

_INVOCATION_FLAGS = (
    _flag("--bundle", "FILE", "take everything from this offline bundle, and nothing from a network", **_OFFLINE),
    _flag("--bundle-key", "KEY", "the bundle must be signed by this key of minisign", providers=_ALL_PROVIDERS),
    _flag("--pull", ("missing", "never"), "kind: pull images that the engine lacks", _BUNDLING, providers=_KIND),
    _flag("--skip-wait", "", "do not wait until everything is ready", _WAITING),
    _flag("--timeout", "TIME", "time limit of the run, such as 90s, 10m or 1h30m", _WITH_TIMEOUT, type=_duration),
    _flag("--yes", "", "answer questions with yes", _PROMPTING, tolerated=True),
    _flag("--allow-data-loss", "", "with --repair --cluster NAME: also remedies that lose data", _REPAIRS),
    _flag("--live", "", "with --status or clusters: also check the actual state", _CHECKING_LIVE),
    _flag("--output", ("human", "json"), "json: for scripts", _ALL - {"completion"}, tolerated=True),
    _flag("--tutorial", "", "explain each step as it runs, and how to do it by hand", _INSTALLING),
    _flag("--open", "", "show the run on a local page, and open it in the browser", _INSTALLING | {"dashboard"}),
    _flag("--verbose", "", "show what commands print", _WITH_LIVE_VIEW, tolerated=True),
)
"""How one invocation goes about it."""

FLAGS: Mapping[str, Argument] = {flag.name: flag for flag in (*_INSTALLATION_FLAGS, *_INVOCATION_FLAGS)}
"""The flags that may stand before or behind a subcommand."""

PROVIDER_OPTIONS = {flag.destination: flag for flag in FLAGS.values() if flag.providers}
