"""What a command line asks for: argv and environment in, frozen settings out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.cli.flags import DEFAULT_CLUSTER, FLAGS, PROVIDER_OPTIONS, Argument, absolute
from contextcore_install.cli.grammar import COMMANDS, EVERYWHERE, fits
from contextcore_install.cli.parser import MODES, build_parser
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.hints import own

INSTALL_TOOLS = "install_tools"
"""The setting in which an installation keeps that missing tools may be had: its later runs lack them as well."""
OF_ONE_MACHINE = (INSTALL_TOOLS, "context")
"""Settings that no other machine takes over: who sits there says the one, and a context has its name there only."""

_LONGEST_SHOWN = 1_000
_FROM_ENVIRONMENT = {"node_image": "KIND_NODE_IMAGE", "manifests": "K8S_MANIFESTS"}

# DNS-1123 label, RFC 1123 section 2.1 as Kubernetes narrows it
_CLUSTER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


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

    @property
    def given_flags(self) -> tuple[tuple[str, str], ...]:
        """The flags given that say how the installation is made, each with its value ("" for none)."""
        options = {flag.destination: flag.names[0] for flag in FLAGS if flag.providers}
        return (
            *([("--provider", self.provider)] if self.provider != "auto" else []),
            *(("--port", f"{name}={port}") for name, port in self.ports.items()),
            *((options[name], str(value)) for name, value in self.options.items() if _can_be_shown(str(value))),
            *([("--install-tools", "")] if self.install_tools else []),
        )

    @property
    def given_variables(self) -> Mapping[str, tuple[str, str]]:
        """The variables given in place of flags, by the flag: each with its name and value."""
        options = {flag.destination: flag.names[0] for flag in FLAGS if flag.providers}
        return {
            options[name]: (_FROM_ENVIRONMENT[name], str(value))
            for name, value in self.environment_options.items()
            if _can_be_shown(str(value))
        }


def _can_be_shown(value: str) -> bool:
    """Whether a value is one to repeat in a command: what is endless, or does things to a terminal, is not."""
    return len(value) <= _LONGEST_SHOWN and value.isprintable()


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
        options={name: getattr(options, name) for name in PROVIDER_OPTIONS if getattr(options, name) is not None},
        environment_options={
            name: absolute(environ[variable]) if name == "manifests" else environ[variable]
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
        from contextcore_install.cli.suggestions import unknown_flag

        raise unknown_flag(argv) or error from None


def _own_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what only the chosen subcommand takes, by the name that argparse gives it."""
    grammar = COMMANDS.get(options.command or "")
    names = [own.destination for own in grammar.arguments] if grammar else []
    return {name: getattr(options, name) for name in names}


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
                f"--port {taken[port]}={port} cannot be combined with --port {component}={port}: one port each"
            )
        taken[port] = component
    return ports


def _refuse_contradictions(settings: Settings, options: argparse.Namespace) -> None:
    mode = next((f"--{name}" for name in MODES if getattr(options, name)), "")
    if mode and options.command:
        raise usage_error(f"{mode} cannot be combined with {options.command}: choose one of them")
    if settings.allow_data_loss and not settings.cluster_given:
        raise usage_error("--allow-data-loss needs the name of the cluster whose data it is", "add --cluster NAME")
    if settings.tutorial and settings.output == "json":
        raise usage_error("--tutorial cannot be combined with --output json: it is for people")
    what = mode or options.command or "an installation"
    fitting = EVERYWHERE | fits(settings.command)
    refused = [flag.names[0] for flag in FLAGS if _is_given(options, flag) and flag.family not in fitting]
    if refused:
        raise usage_error(
            f"{refused[0]} cannot be combined with {what}", f"leave one of them out, or see {own('--help')}"
        )


def _is_given(options: argparse.Namespace, flag: Argument) -> bool:
    value = getattr(options, flag.destination, None)
    return value not in (None, False, "auto", [])  # auto is the default, given or not
