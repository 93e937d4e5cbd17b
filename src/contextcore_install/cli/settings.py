"""What a command line asks for: argv and environment in, frozen settings out."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence

from contextcore_install.cli.grammar import ARGUMENTS, DEFAULT_CLUSTER, FLAGS, MODES, PROVIDER_OPTIONS
from contextcore_install.cli.parser import build_parser, unknown_flag
from contextcore_install.core.dataclass import Any, dataclass, field
from contextcore_install.core.errors import InstallError, own, usage_error

_LONGEST_SHOWN = 1_000
_INSTALLING_AS_RECORDED = frozenset({"restore", "watch"})
"""Subcommands that install what is missing, and take no flags that say how."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One invocation."""

    command: str  # install, a mode (grammar.MODES) or a subcommand
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
    arguments: Mapping[str, Any] = field(default_factory=dict)  # what only that subcommand takes (grammar.ARGUMENTS)
    program: str = "contextcore-install"

    @property
    def given_flags(self) -> tuple[tuple[str, str], ...]:
        """The flags given that say how the installation is made, each with its value ("" for none)."""
        return (
            *([("--provider", self.provider)] if self.provider != "auto" else []),
            *(("--port", f"{name}={port}") for name, port in self.ports.items()),
            *((PROVIDER_OPTIONS[name].name, text) for name, text in _shown(self.options)),
            *([("--install-tools", "")] if self.install_tools else []),
        )

    @property
    def given_variables(self) -> Mapping[str, tuple[str, str]]:
        """The variables given in place of flags, by the flag: each with its name and value."""
        shown = [(PROVIDER_OPTIONS[name], text) for name, text in _shown(self.environment_options)]
        return {flag.name: (flag.variable, text) for flag, text in shown}


def _shown(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values to repeat in a command: what is endless, or does things to a terminal, is not."""
    texts = [(name, str(value)) for name, value in options.items()]
    return [(name, text) for name, text in texts if len(text) <= _LONGEST_SHOWN and text.isprintable()]


def parse(argv: Sequence[str], environ: Mapping[str, str], program: str) -> Settings:
    """Return what a command line asks for; raises InstallError (exit code 2) when it asks for nothing sensible.

    SystemExit(0) is raised for --help and --version, as argparse does.
    """
    try:
        options = build_parser(program).parse_args(list(argv))
    except InstallError as error:
        raise unknown_flag(argv) or error from None
    given = None if options.cluster is None else _checked_name("--cluster", options.cluster)
    default = _default_cluster(environ)
    mode = next((mode for mode in MODES if getattr(options, mode)), "")
    arguments = ARGUMENTS.get(options.command, ())
    command = options.command or mode or "install"
    given_options = {name: value for name in PROVIDER_OPTIONS if (value := getattr(options, name)) is not None}
    looks_only = command == "bundle" and options.action != "make"  # at a file, and goes by no variable
    settings = Settings(
        command=command,
        cluster=given or default,
        cluster_given=given is not None,
        default_cluster=default,
        provider=options.provider or "auto",
        ports=_ports(options.port or []),
        options=given_options,
        environment_options=_from_variables(environ, "" if looks_only else command, given_options),
        timeout_s=options.timeout if options.timeout is not None else float("inf"),
        output=options.output or "human",
        arguments={argument.destination: getattr(options, argument.destination) for argument in arguments},
        program=program,
        **{flag.destination: getattr(options, flag.destination) for flag in FLAGS.values() if not flag.value},
    )
    _refuse_contradictions(settings, options, f"--{mode}" if mode else "")
    return settings


def _from_variables(environ: Mapping[str, str], command: str, given: Collection[str]) -> dict[str, Any]:
    """Return the values of flags that variables stand for, each read as the flag's own.

    Raises a usage error for one that cannot be read, if the command goes by it: others count as not there.
    """
    values: dict[str, Any] = {}
    unused = {*given, *(["mirror"] if "offline_bundle" in given else [])}
    for name, flag in PROVIDER_OPTIONS.items():
        if text := environ.get(flag.variable, "") if flag.variable else "":
            try:
                values[name] = flag.more.get("type", str)(text)
            except argparse.ArgumentTypeError as error:
                if name not in unused and command in flag.commands | _INSTALLING_AS_RECORDED:
                    raise usage_error(f"{flag.variable}: {error}") from None
    return values


def _default_cluster(environ: Mapping[str, str]) -> str:
    for variable in ("CONTEXTCORE_CLUSTER", "CLUSTER_NAME"):
        if name := environ.get(variable):
            return _checked_name(variable, name)
    return DEFAULT_CLUSTER


def _checked_name(source: str, name: str) -> str:
    from contextcore_install.core.text import is_cluster_name

    if not is_cluster_name(name):
        hint = "use at most 63 small letters, digits and hyphens, as in o11y-dev"
        raise usage_error(f"{source} is no cluster name: {name[:80]!r}", hint)
    return name


def _ports(pairs: Sequence[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for pair in pairs:
        component, _, text = pair.partition("=")
        if not component or not text.isascii() or not text.isdecimal():
            raise usage_error(f"--port is no COMPONENT=PORT: {pair[:80]!r}", "as in --port grafana=3001")
        port, given = int(text[:9]), f"--port {component}={text[:9]}"
        if not 1 <= port <= 65_535:
            hint = "choose a port from 1 to 65535; one below 1024 works only if this user may have it"
            raise usage_error(f"{given} is out of range", hint)
        if ports.get(component, port) != port:
            raise usage_error(f"--port {component} is given twice, as {ports[component]} and {port}")
        if other := next((name for name, taken in ports.items() if taken == port and name != component), ""):
            raise usage_error(f"--port {other}={port} cannot be combined with {given}: one port each")
        ports[component] = port
    return ports


def _refuse_contradictions(settings: Settings, options: argparse.Namespace, mode: str) -> None:
    if mode and options.command:
        raise usage_error(f"{mode} cannot be combined with {options.command}: choose one of them")
    if settings.allow_data_loss and not settings.cluster_given:
        raise usage_error("--allow-data-loss needs the name of the cluster whose data it is", "add --cluster NAME")
    if settings.tutorial and settings.output == "json":
        raise usage_error("--tutorial cannot be combined with --output json: it is for people")
    what = mode or options.command or "an installation"
    for argument in ARGUMENTS.get(options.command, ()):
        given = getattr(options, argument.destination) is not None
        if given and argument.actions and options.action not in argument.actions:
            hint = f"it belongs to {what} {' and '.join(argument.actions)}; see {own(options.command, '--help')}"
            raise usage_error(f"{argument.name} cannot be combined with {what} {options.action}", hint)
    for flag in FLAGS.values():
        given = getattr(options, flag.destination) not in (None, False, "auto", [])  # auto is the default
        if given and not flag.tolerated and settings.command not in flag.commands:
            hint = f"leave one of them out, or see {own('--help')}"
            raise usage_error(f"{flag.name} cannot be combined with {what}", hint)
