"""What a command line asks for: argv and environment in, frozen settings out.

The parser is argparse: it is there without an import from disk that would slow every start, and
shtab makes the shells' completions from it.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from contextcore_install import __version__
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.grammar import COMMANDS, EVERYWHERE, duration, fits

DEFAULT_CLUSTER = "o11y-dev"
MODES = ("resume", "repair", "reset", "status", "attach")
PROVIDERS = ("auto", "kind", "kube-context", "host")

PROVIDER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "workers": ("kind",),
    "node_image": ("kind",),
    "pull": ("kind",),
    "context": ("kube-context",),
    "manifests": ("kind", "kube-context"),
    "registry": ("kind", "kube-context"),
}
"""Options that mean something to some providers only, and to which."""

INSTALL_TOOLS = "install_tools"
"""The setting in which an installation keeps that missing tools may be had: its later runs lack them as well."""

_FROM_ENVIRONMENT = {"node_image": "KIND_NODE_IMAGE", "manifests": "K8S_MANIFESTS"}

# DNS-1123 label, RFC 1123 section 2.1 as Kubernetes narrows it
_CLUSTER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

EPILOG = """\
examples:
  {program} --install-tools --yes     install, and get what is missing without asking
  {program} --status                  where the installation stands
  {program} --resume                  carry on where it stopped
  {program} --repair                  find what broke, and fix it
  {program} --status --output json    the same for a script
  {program} logs pods_ready           what a step's commands printed
  {program} --cluster demo --port grafana=3001

exit codes: 0 done, 1 a step failed, 2 usage, 3 preflight failed, 4 state unusable,
            5 another run is at work, 70 a bug, 130 interrupted
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """One invocation.

    `command` is a mode (install, resume, repair, reset, status, attach) or a subcommand, and `arguments` holds what
    only that subcommand takes (grammar.COMMANDS).
    """

    command: str
    cluster: str = DEFAULT_CLUSTER
    cluster_given: bool = False
    default_cluster: str = DEFAULT_CLUSTER
    provider: str = "auto"
    ports: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = float("inf")
    skip_wait: bool = False
    yes: bool = False
    install_tools: bool = False
    verbose: bool = False
    output: str = "human"
    live: bool = False
    tutorial: bool = False
    allow_data_loss: bool = False
    open: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    program: str = "contextcore-install"


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise usage_error(
            message.replace("not allowed with argument", "contradicts"), f"see {self.prog} --help"
        )

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Say what may have been meant, where argparse would list all that may stand there."""
        if action.choices is None or value in action.choices:
            return
        from contextcore_install.mistyped import unknown_choice

        what = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
        raise unknown_choice(
            what if what.startswith("-") else what.lower(), str(value), action.choices, self.prog
        )


def parse(argv: Sequence[str], environ: Mapping[str, str], program: str) -> Settings:
    """Return what a command line asks for; raises InstallError (exit code 2) when it asks for nothing sensible.

    SystemExit(0) is raised for --help and --version, as argparse does.
    """
    options = _options(argv, program)
    given = None if options.cluster is None else _checked_name("--cluster", options.cluster)
    default = _default_cluster(environ)
    settings = Settings(
        command=options.command or next((mode for mode in MODES if getattr(options, mode)), "install"),
        cluster=given or default,
        cluster_given=given is not None,
        default_cluster=default,
        provider=options.provider or "auto",
        ports=_ports(options.port or []),
        options={
            name: getattr(options, name) for name in PROVIDER_OPTIONS if getattr(options, name) is not None
        },
        environment_options={
            name: _absolute(environ[variable]) if name == "manifests" else environ[variable]
            for name, variable in _FROM_ENVIRONMENT.items()
            if environ.get(variable)
        },
        timeout_s=options.timeout if options.timeout is not None else float("inf"),
        skip_wait=options.skip_wait,
        yes=options.yes,
        install_tools=options.install_tools,
        verbose=options.verbose,
        output=options.output or "human",
        live=options.live,
        tutorial=options.tutorial,
        allow_data_loss=options.allow_data_loss,
        open=options.open,
        arguments=_own_arguments(options),
        program=program,
    )
    _refuse_contradictions(settings, options)
    return settings


def _options(argv: Sequence[str], program: str) -> argparse.Namespace:
    parser = build_parser(program)
    try:
        return parser.parse_args(list(argv))
    except InstallError as error:
        from contextcore_install.mistyped import unknown_flag

        raise unknown_flag(parser.format_usage(), argv, program) or error from None


def build_parser(program: str) -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = _Parser(
        prog=program,
        description="Install an observability stack and keep track of it: any state of the machine, one command.",
        epilog=EPILOG.format(program=program),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=_help_width()),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_modes(parser)
    _add_shared(parser)
    formatter = partial(argparse.HelpFormatter, width=_help_width())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, grammar in COMMANDS.items():
        summary = grammar.summary
        command = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=formatter
        )
        _add_shared(command, grammar.shared)
        for own in grammar.arguments:
            command.add_argument(*own.names, **own.options)
    return parser


def _own_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what only the chosen subcommand takes, by the name that argparse gives it."""
    grammar = COMMANDS.get(options.command or "")
    names = [own.destination for own in grammar.arguments] if grammar else []
    return {name: getattr(options, name) for name in names}


def _help_width() -> int:
    """Return the columns for help texts. Left to itself, argparse asks shutil for every option, which is slow."""
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        columns = os.environ.get("COLUMNS", "")
        return (
            max(40, int(columns) - 2)
            if columns.isascii() and columns.isdecimal() and len(columns) < 5
            else 98
        )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do (default: install, which is safe to repeat)")
    modes = group.add_mutually_exclusive_group()
    modes.add_argument("--resume", action="store_true", help="carry on where the installation stopped")
    modes.add_argument("--repair", action="store_true", help="check everything, and fix what is broken")
    modes.add_argument("--reset", action="store_true", help="put the state aside; touches no cluster")
    modes.add_argument("--status", action="store_true", help="show where the installation stands")
    modes.add_argument("--attach", action="store_true", help="watch the run that is at work")


def _add_shared(parser: argparse.ArgumentParser, fitting: Collection[str] | None = None) -> None:
    """Add the options that may stand before or behind a subcommand.

    `fitting` names the restricted ones that fit the subcommand that the parser is of. It knows the others too, to say
    what they contradict; its help does not.
    """

    def add(flag: str, **options: Any) -> None:
        if fitting is not None:
            options["default"] = argparse.SUPPRESS
            if _name_in_grammar(flag) not in shown:
                options["help"] = argparse.SUPPRESS
        group.add_argument(flag, **options)

    shown = EVERYWHERE | frozenset(fitting or ())
    group = parser.add_argument_group("options" if fitting is None else "options of other commands too")
    add(
        "--cluster",
        metavar="NAME",
        help=f"the cluster's name (default {DEFAULT_CLUSTER}, or CONTEXTCORE_CLUSTER)",
    )
    add("--provider", choices=PROVIDERS, help="where the stack runs (default auto)")
    add("--port", metavar="COMPONENT=PORT", action="append", help="the host port of a component; repeatable")
    add(
        "--workers",
        metavar="N",
        type=_workers,
        help="kind: worker nodes beside the control plane (default 0)",
    )
    add("--node-image", metavar="IMAGE", help="kind: the node image (or KIND_NODE_IMAGE)")
    add("--pull", choices=("missing", "never"), help="kind: pull images that the engine lacks, or never")
    add("--context", metavar="NAME", help="kube-context: kubectl's context of the cluster to install into")
    add(
        "--manifests",
        metavar="DIR",
        type=_absolute,
        help="install this kustomization instead of ours (or K8S_MANIFESTS)",
    )
    add(
        "--registry",
        metavar="PREFIX",
        type=_registry,
        help="take images from this mirror, as in mirror.example:5000/hub",
    )
    add("--install-tools", action="store_true", help="get missing tools into the program's own folder")
    add("--skip-wait", action="store_true", help="do not wait until everything is ready")
    add("--timeout", metavar="TIME", type=duration, help="limit of the whole run, as 90s, 10m or 1h30m")
    add("--yes", action="store_true", help="answer questions with yes")
    add(
        "--allow-data-loss",
        action="store_true",
        help="with --repair and --cluster NAME: also carry out remedies that lose data",
    )
    add("--live", action="store_true", help="with --status: also check how things really are")
    add("--output", choices=("human", "json"), help="json: for scripts")
    add("--tutorial", action="store_true", help="explain each step while it runs, and how to do it by hand")
    add("--open", action="store_true", help="show the run on a local page, and open it in the browser")
    add("--verbose", action="store_true", help="show what commands print")


def _name_in_grammar(flag: str) -> str:
    of_provider = flag.removeprefix("--").replace("-", "_") in PROVIDER_OPTIONS
    return "--provider-options" if of_provider else flag


def _default_cluster(environ: Mapping[str, str]) -> str:
    """Return the cluster that is meant where no flag names one."""
    for variable in ("CONTEXTCORE_CLUSTER", "CLUSTER_NAME"):
        if name := environ.get(variable):
            return _checked_name(variable, name)
    return DEFAULT_CLUSTER


def is_cluster_name(name: str) -> bool:
    """Whether a cluster may have this name."""
    return _CLUSTER_NAME.fullmatch(name) is not None


def _checked_name(source: str, name: str) -> str:
    if not is_cluster_name(name):
        raise usage_error(
            f"{source} is no cluster name: {name[:80]!r}",
            "use at most 63 small letters, digits and hyphens, as in o11y-dev",
        )
    return name


def _ports(pairs: Sequence[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for pair in pairs:
        component, _, text = pair.partition("=")
        if not component or not text.isascii() or not text.isdecimal():
            raise usage_error(f"--port is no COMPONENT=PORT: {pair[:80]!r}", "as in --port grafana=3001")
        port = int(text[:9])
        if not 1 <= port <= 65535:
            raise usage_error(
                f"--port {component}={text[:9]} is out of range",
                "choose a port from 1 to 65535; one below 1024 works only where this user may have it",
            )
        if ports.get(component, port) != port:
            raise usage_error(f"--port {component} is given twice, as {ports[component]} and {port}")
        ports[component] = port
    taken: dict[int, str] = {}
    for component, port in ports.items():
        if port in taken:
            raise usage_error(
                f"--port {taken[port]}={port} contradicts --port {component}={port}: one port each"
            )
        taken[port] = component
    return ports


def _absolute(folder: str) -> str:
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


def _refuse_contradictions(settings: Settings, options: argparse.Namespace) -> None:
    mode = next((f"--{name}" for name in MODES if getattr(options, name)), "")
    if mode and options.command:
        raise usage_error(f"{mode} contradicts {options.command}: choose one of them")
    if settings.allow_data_loss and not settings.cluster_given:
        raise usage_error(
            "--allow-data-loss needs the name of the cluster whose data it is", "add --cluster NAME"
        )
    if settings.tutorial and settings.output == "json":
        raise usage_error("--tutorial contradicts --output json: it is for people")
    what = mode or options.command or "an installation"
    fitting = fits(settings.command)
    refused = [flag for flag, used in _restricted(settings) if used and _name_in_grammar(flag) not in fitting]
    if refused:
        raise usage_error(
            f"{refused[0]} contradicts {what}", f"leave one of them out, or see {settings.program} --help"
        )


def _restricted(settings: Settings) -> list[tuple[str, bool]]:
    """Return the flags that make sense only somewhere, and whether each was given."""
    return [
        ("--live", settings.live),
        ("--tutorial", settings.tutorial),
        ("--allow-data-loss", settings.allow_data_loss),
        ("--open", settings.open),
        ("--skip-wait", settings.skip_wait),
        ("--install-tools", settings.install_tools),
        ("--port", bool(settings.ports)),
        ("--timeout", settings.timeout_s != float("inf")),
        ("--provider", settings.provider != "auto"),
        *((f"--{name.replace('_', '-')}", name in settings.options) for name in PROVIDER_OPTIONS),
    ]
