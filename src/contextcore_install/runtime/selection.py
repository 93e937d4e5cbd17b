"""What an installation is made with: its provider, ports and options, and the stack that comes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from contextcore_install.cli.grammar import PROVIDER_OPTIONS
from contextcore_install.core.errors import usage_error
from contextcore_install.core.ports import Telemetry
from contextcore_install.core.provider import Provider, ProviderConfig
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.replaced import DataReplaced, replaced
from contextcore_install.engine.state import COMPLETED, State
from contextcore_install.providers.registry import PROVIDERS, create_provider
from contextcore_install.runtime.app import App
from contextcore_install.runtime.contacts import for_grafana, without_contact_points
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.stack.intake import logs_url, metrics_url, traces_url
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.telemetry.shipper import Shipper

INSTALL_TOOLS = "install_tools"
"""The setting in which an installation keeps that missing tools may be had: its later runs lack them as well."""

TAKEN_PORTS = frozenset({"port-in-use", "port-unusable"})
"""The codes of preflight's findings that say that a port cannot be had."""


class Stack:
    """The provider, and what the steps reach through it. Built when it is used."""

    def __init__(
        self,
        app: App,
        provider_name: str,
        ports: Mapping[str, int],
        options: Mapping[str, Any],
        *,
        install_tools: bool = False,
        data: Mapping[str, str] | None = None,
    ) -> None:
        self._app = app
        self.provider_name = provider_name
        self.ports = dict(ports)
        self.options = dict(options)
        self.install_tools = install_tools
        self._data = data or {}

    def with_ports(self, ports: Mapping[str, int]) -> Stack:
        """Return the same stack on other ports."""
        return Stack(
            self._app, self.provider_name, ports, self.options, install_tools=self.install_tools, data=self._data
        )

    def settings(self) -> dict[str, Any]:
        """Return what later runs of the installation take over."""
        kept = {name: value for name, value in self.options.items() if PROVIDER_OPTIONS[name].kept}
        wish = {INSTALL_TOOLS: True} if self.install_tools else {}
        return {"provider": self.provider_name, "ports": self.ports, **kept, **wish}

    @cached_property
    def config(self) -> ProviderConfig:
        """What the provider is built from."""
        return ProviderConfig(
            cluster=self._app.settings.cluster,
            folder=self._app.layout.folder,
            bin_folder=self._app.home.bin,
            environ=without_contact_points(self._app.environ),
            ports=self.ports,
            install_tools=self.install_tools,
            options={**self.options, "grafana_contact_points": for_grafana(self._app)},
            given_now=frozenset(self._app.settings.options),
            may_lose_data=self._app.settings.allow_data_loss,
        )

    @cached_property
    def provider(self) -> Provider:
        """The provider of this installation."""
        return create_provider(self.provider_name, self.config)

    def metrics_store_url(self) -> str | None:
        """Return where the metrics store is reached; None while there is none."""
        return metrics_url(self.provider.endpoints())

    def spans_url(self) -> str | None:
        """Return where spans are taken; None while there is no such place."""
        return traces_url(self.provider.endpoints(), resolve_ports(self.ports))

    def shipper(self, report: Callable[[str], None]) -> Shipper:
        """Return the way of the events into the stack."""
        layout = self._app.layout
        return Shipper(
            JournalReader(layout.journal),
            CursorFile(layout.cursors),
            self._app.settings.cluster,
            self.metrics_store_url,
            report,
            traces_url=self.spans_url,
            logs_url=lambda: logs_url(self.provider.endpoints()),
        )

    def plan(self, telemetry: Telemetry) -> Plan:
        """Return the installation's steps; raises InstallError where a restore was begun and cannot be finished."""
        from contextcore_install.diagnosis.failures import service_finding
        from contextcore_install.steps.base import StepTools
        from contextcore_install.steps.registry import installation_plan
        from contextcore_install.system.http import LoopbackHttp
        from contextcore_install.system.path_programs import PathPrograms

        programs = PathPrograms(without_contact_points(self._app.environ))
        steps = installation_plan(
            StepTools(self.provider, LoopbackHttp(), telemetry, programs, service_finding, self._measure, self.replaced)
        )
        if not self._app.layout.restore.is_dir():
            return steps
        self._data = {}  # what is put back takes the place of other data by somebody's wish
        from contextcore_install.runtime.restore_step import refilling

        return refilling(steps, self._app.layout, lambda: self.provider)

    @property
    def knows_data(self) -> bool:
        """Whether it is known which data there was."""
        return bool(self._data)

    def replaced(self, seen: Sequence[Storage]) -> list[DataReplaced]:
        """Return a warning for data that is another one than before."""
        if not self._data:
            return []
        backups = sorted(self._app.layout.backups.glob("*.tar.gz"), key=_made_at)
        return replaced(self._data, seen, str(backups[-1]) if backups else "")

    def _measure(self, limit_s: float) -> list[dict[str, Any]]:
        from contextcore_install.runtime.verifying import verify_stack
        from contextcore_install.verification.results import measurements

        return measurements(verify_stack(self._app, self, limit_s))


def _made_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def choose_provider(app: App, state: State) -> tuple[str, str]:
    """Return the provider to use, and why; raises a usage error for one that contradicts the installation.

    The installation is bound to a provider once that has begun to make something; until then another may be asked for.
    """
    wanted = app.settings.provider
    if state.provider in PROVIDERS and (wanted in ("auto", state.provider) or is_bound(state)):
        if wanted not in ("auto", state.provider):
            raise usage_error(
                f"--provider {wanted} is not that of the installation {app.settings.cluster}, "
                f"which was made with --provider {state.provider}",
                "choose another name with --cluster NAME, or delete that installation first",
            )
        return state.provider, "chosen before"
    if wanted != "auto":
        return wanted, "asked for"
    for name in PROVIDERS:
        if (app.layout.folder / name).is_dir():
            return name, f"its files are in {app.layout.folder / name}"
    if "kind" in PROVIDERS:
        from contextcore_install.providers.kind import engine_answers

        if engine_answers(app.environ):
            return "kind", "a container engine answers"
        return "host", "no container engine of this machine answers"
    return "host", "the stack runs as processes of this user"


def is_bound(state: State) -> bool:
    """Whether the provider has begun to make something, so that another one would leave it behind."""
    steps = state.planned.items()
    return any(step.attempts or step.status == COMPLETED for name, step in steps if name != "preflight")


def read_stack(app: App, state: State) -> Stack:
    """Return the stack as the state and the settings have it; raises a usage error where they contradict."""
    return parts_of(app, state)[0]


def ports_of(state: State, app: App) -> dict[str, int]:
    """Return the ports that were chosen, now or before; raises a usage error for what is no component's."""
    kept = state.settings.get("ports")
    ports = {**(kept if isinstance(kept, dict) else {}), **app.settings.ports}
    resolve_ports(ports)
    return ports


def options_of(state: State, app: App, provider: str) -> dict[str, Any]:
    """Return the provider's options, given now or kept; raises a usage error for what is not for this provider."""
    for name in app.settings.options:
        if provider not in PROVIDER_OPTIONS[name].providers:
            raise usage_error(f"--{name.replace('_', '-')} cannot be combined with --provider {provider}")
    kept = {name: value for name, value in state.settings.items() if name in PROVIDER_OPTIONS}
    given = {**app.settings.environment_options, **kept, **app.settings.options}
    return {name: value for name, value in given.items() if provider in PROVIDER_OPTIONS[name].providers}


def parts_of(app: App, state: State) -> tuple[Stack, str]:
    """Return the stack as the state and the settings have it, and why it is this provider's; see `read_stack`."""
    name, reason = choose_provider(app, state)
    wish = app.settings.install_tools or state.settings.get(INSTALL_TOOLS) is True
    parts = Stack(app, name, ports_of(state, app), options_of(state, app, name), install_tools=wish, data=state.data)
    return _as_made(app, state, parts), reason


def beside_others(app: App, state: State, parts: Stack) -> tuple[Stack, list[str]]:
    """Return the stack, a new one on ports that other installations leave it, and what is to be said of them."""
    if "ports" in state.settings:
        return parts, []
    from contextcore_install.runtime.port_allocation import choose_ports

    choice = choose_ports(app, parts.provider_name, parts.config)
    if not choice.said:
        return parts, []
    return parts.with_ports(choice.ports), [choice.said]


def _as_made(app: App, state: State, parts: Stack) -> Stack:
    """Return the stack on the ports that the cluster has, where no record tells them.

    The same where the last run asked for others and was refused, and none are given now: so a wish that could not be
    met is not kept for ever.
    """
    if "ports" in state.settings and (app.settings.ports or not _ports_refused(state)):
        return parts
    from contextcore_install.runtime.port_allocation import made_before

    made = made_before(parts.provider_name, parts.config)
    return parts if made is None else parts.with_ports({**made, **app.settings.ports})


def _ports_refused(state: State) -> bool:
    """Whether the last run stopped at its ports.

    The cluster has others; or, where a release was there already, something else holds them.
    """
    codes = {step: (state.step(step).error or {}).get("code") for step in ("preflight", "cluster_create")}
    moved_in_vain = codes["preflight"] in TAKEN_PORTS and state.step("manifests_apply").attempts > 0
    return moved_in_vain or codes["cluster_create"] == "ports-fixed"
