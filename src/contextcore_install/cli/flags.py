"""The flags that commands share, as data: the parser, its refusals and the commands in hints are made of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_CLUSTER = "o11y-dev"
PROVIDERS = ("auto", "kind", "kube-context", "host")
PROVIDER_OPTIONS_NAME = "--provider-options"
"""The name under which the grammar says that a command takes the options of a provider."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument: its name or flags, and its options for argparse.

    `providers` are those that it means something to, of an argument that means nothing to the others.
    """

    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    providers: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        """The name of its value once parsed, as argparse derives it."""
        return str(self.options.get("dest") or self.names[-1].lstrip("-").replace("-", "_"))

    @property
    def takes_value(self) -> bool:
        """Whether a flag is followed by a value."""
        return self.options.get("action", "store") in {"store", "append"}

    @property
    def family(self) -> str:
        """The name under which the grammar says which commands take it."""
        return PROVIDER_OPTIONS_NAME if self.providers else self.names[-1]


def argument(*names: str, providers: tuple[str, ...] = (), **options: Any) -> Argument:
    """Return an argument, written as argparse has it."""
    return Argument(names, options, providers)


def port(text: str) -> int:
    """Return the port that an argument names; raises ValueError, which argparse reports."""
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 65_535:
        return int(text[:9])
    raise ValueError(text)


def duration(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m or 1h30m; raises argparse's error for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no time, as in 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 7 * 86_400:
        raise argparse.ArgumentTypeError("it must be more than nothing and at most a week")
    return total


def remedies_an_hour(text: str) -> int:
    """Return a watch's budget; raises argparse's error for anything else."""
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from 1 to 100")


def absolute(folder: str) -> str:
    """Return a folder so that a later run from elsewhere finds it."""
    return str(Path(folder).absolute())


def _registry(text: str) -> str:
    """Return a mirror's prefix: a part of images' names, which everybody sees and which hold no credentials."""
    if "@" in text or "://" in text:
        raise argparse.ArgumentTypeError(
            "it is the beginning of images' names, without scheme and credentials, as in mirror.example:5000/hub"
        )
    return text


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and int(text) <= 16):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of workers from 0 to 16")
    return int(text)


WHERE: tuple[Argument, ...] = (
    argument(
        "--cluster", metavar="NAME", help=f"the cluster's name (default {DEFAULT_CLUSTER}, or CONTEXTCORE_CLUSTER)"
    ),
    argument("--provider", choices=PROVIDERS, help="where the stack runs (default auto)"),
    argument("--port", metavar="COMPONENT=PORT", action="append", help="the host port of a component; repeatable"),
    argument(
        "--workers",
        metavar="N",
        type=_workers,
        providers=("kind",),
        help="kind: worker nodes beside the control plane (default 0)",
    ),
    argument("--node-image", metavar="IMAGE", providers=("kind",), help="kind: the node image (or KIND_NODE_IMAGE)"),
    argument(
        "--context",
        metavar="NAME",
        providers=("kube-context",),
        help="kube-context: kubectl's context of the cluster to install into",
    ),
    argument(
        "--manifests",
        metavar="DIR",
        type=absolute,
        providers=("kind", "kube-context"),
        help="install this kustomization instead of ours (or K8S_MANIFESTS)",
    ),
    argument(
        "--registry",
        metavar="PREFIX",
        type=_registry,
        providers=("kind", "kube-context"),
        help="take images from this mirror, as in mirror.example:5000/hub",
    ),
)
"""What is installed, and where: kept with the installation."""

HOW: tuple[Argument, ...] = (
    argument("--install-tools", action="store_true", help="get missing tools into ~/.contextcore"),
    argument(
        "--pull",
        choices=("missing", "never"),
        providers=("kind",),
        help="kind: pull images that the engine lacks, or never",
    ),
    argument("--skip-wait", action="store_true", help="do not wait until everything is ready"),
    argument("--timeout", metavar="TIME", type=duration, help="limit of the whole run, as 90s, 10m or 1h30m"),
    argument("--yes", action="store_true", help="answer questions with yes"),
    argument(
        "--allow-data-loss",
        action="store_true",
        help="with --repair and --cluster NAME: also carry out remedies that lose data",
    ),
    argument("--live", action="store_true", help="with --status: also check how things really are"),
    argument("--output", choices=("human", "json"), help="json: for scripts"),
    argument("--tutorial", action="store_true", help="explain each step while it runs, and how to do it by hand"),
    argument("--open", action="store_true", help="show the run on a local page, and open it in the browser"),
    argument("--verbose", action="store_true", help="show what commands print"),
)
"""How one invocation goes about it."""

FLAGS = (*WHERE, *HOW)

PROVIDER_OPTIONS: Mapping[str, tuple[str, ...]] = {flag.destination: flag.providers for flag in FLAGS if flag.providers}
"""Options that mean something to some providers only, and to which."""
