"""What an installation is made with: provider, ports and options, from its records and this invocation's settings.

A new one has the usual ports, unless a neighbour has them: another installation in the same home, whether it runs or
not. Beside one that has usual ports, all that were not given come from the first block of a hundred whose ports nobody
has: 20100, 20200, up to 29900. No system gives these to outgoing connections (Linux: 32768 to 60999; macOS and Windows:
from 49152), and node ports begin at 30000. A process that is no installation's moves nobody: preflight names it, so
that the usual addresses stay true.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install.cli.grammar import PROVIDER_OPTIONS
from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import ExitCode, InstallError, usage_error
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.engine.state import COMPLETED, State
from contextcore_install.providers.registry import PROVIDERS, held_ports, recollect
from contextcore_install.runtime.app import App, left_by
from contextcore_install.runtime.notifier import for_grafana, without_contact_points
from contextcore_install.stack.catalogue import ALL, PORTS, chosen_components, resolve_ports
from contextcore_install.storage.files import write_atomically
from contextcore_install.storage.store import read_records
from contextcore_install.system.ports import bind_problem

if TYPE_CHECKING:
    from contextcore_install.system.packages.bundle_file import BundleFile

INSTALL_TOOLS = "install_tools"  # the setting: later runs of the installation lack the same tools
BUNDLE, BUNDLE_KEY = "offline_bundle", "bundle_key"  # options of one invocation
BLOCKS = range(20_100, 30_000, 100)  # the first port of each block
COMPONENTS = "components"  # the option and the setting: a list of names, as it is typed
TAKEN_PORTS = frozenset({"port-in-use", "port-unusable"})
"""The codes of preflight's findings that say that a port cannot be had."""


@dataclass(frozen=True, slots=True)
class Selection:
    """`reason` says why it is this provider; `was_found` that something of the installation is there already."""

    provider: str
    reason: str
    ports: Mapping[str, int]
    options: Mapping[str, Any]
    install_tools: bool = False
    was_found: bool = False

    def settings(self) -> dict[str, Any]:
        """Return what later runs of the installation take over."""
        kept = {name: value for name, value in self.options.items() if PROVIDER_OPTIONS[name].kept}
        tools = {INSTALL_TOOLS: True} if self.install_tools else {}
        return {"provider": self.provider, "ports": dict(self.ports), **kept, **tools}

    def config(self, app: App) -> ProviderConfig:
        bundle = self.options.get(BUNDLE)
        tools = {INSTALL_TOOLS} if app.settings.install_tools or bundle else set()
        return ProviderConfig(
            cluster=app.settings.cluster,
            folder=app.layout.folder,
            bin_folder=app.home.bin,
            environ=without_contact_points(app.environ),
            ports=self.ports,
            install_tools=self.install_tools or bool(bundle),
            options={**self.options, "grafana_contact_points": for_grafana(app)},
            given_now=frozenset({*app.settings.options, *tools}),
            components=chosen_components(str(self.options[COMPONENTS])) if COMPONENTS in self.options else None,
            bundle=Path(bundle) if bundle else None,
            may_lose_data=app.settings.allow_data_loss,
            mirror=str(self.options.get("mirror", "")),
        )


def select(app: App, state: State) -> Selection:
    """Return what the state and the settings select; raises a usage error if they contradict each other.

    The ports are those of what runs if no record tells them. The same if the last run asked for others and was refused,
    and none are given now: so a wish that could not be met is not kept for ever.
    """
    bundle = named_bundle(app)
    provider, reason = choose_provider(app, state, bundle.manifest.providers if bundle else ())
    if bundle:
        require_provider(bundle, provider)
    tools = app.settings.install_tools or state.settings.get(INSTALL_TOOLS) is True
    kept = state.settings.get("ports")
    ports = {**(kept if isinstance(kept, dict) else {}), **app.settings.ports}
    resolve_ports(ports)  # raises a usage error for what is no component's
    selected = Selection(provider, reason, ports, _options(app, state, provider, bundle), tools)
    if "ports" in state.settings and (app.settings.ports or not _ports_refused(state)):
        return selected
    found = found_ports(app, selected)
    if found is None:
        return selected
    return replace(selected, ports={**found, **app.settings.ports}, was_found=True)


def found_ports(app: App, selection: Selection) -> Mapping[str, int] | None:
    """Return the ports of what is there under the installation's own name; None if nothing is, or cannot be asked."""
    try:
        return recollect(selection.provider, selection.config(app))
    except InstallError:
        return None


def choose_provider(app: App, state: State, bundled: Sequence[str] = ()) -> tuple[str, str]:
    """Return the provider to use, and why; raises a usage error for one that contradicts the installation.

    The installation is bound to a provider once that has begun to make something; until then another may be asked for.
    `bundled` are those that the offline bundle is for, if one is used.
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
    if left := left_by(app.layout):
        return left, f"its files are in {app.layout.folder / left}"
    if len(bundled) == 1:
        return bundled[0], "the bundle is for it"
    from contextcore_install.providers.kind.engine import engine_answers

    if engine_answers(app.environ):
        return "kind", "a container engine answers"
    return "host", "no container engine of this machine answers"


def is_bound(state: State) -> bool:
    """Whether the provider has begun to make something, so that another one would leave it behind."""
    steps = state.planned.items()
    return any(step.attempts or step.status == COMPLETED for name, step in steps if name != "preflight")


def basis(state: State) -> object:
    """Return what of a state an installation is resolved from, to compare it."""
    return state.provider, dict(state.settings), dict(state.data), is_bound(state), _ports_refused(state)


def _options(app: App, state: State, provider: str, bundle: BundleFile | None) -> dict[str, Any]:
    """Return the provider's options, given now or kept; raises a usage error for what is not for this provider."""
    for name in app.settings.options:
        if provider not in PROVIDER_OPTIONS[name].providers:
            raise usage_error(f"{PROVIDER_OPTIONS[name].name} cannot be combined with --provider {provider}")
    kept = {name: value for name, value in state.settings.items() if name in PROVIDER_OPTIONS}
    bundled = ",".join(entry.name for entry in bundle.entries("release")) if bundle else ""
    usual = {COMPONENTS: bundled or ALL} if bundle or app.settings.install_tools else {}
    given = {**usual, **app.settings.environment_options, **kept, **app.settings.options}
    options = {name: value for name, value in given.items() if provider in PROVIDER_OPTIONS[name].providers}
    if COMPONENTS in options:
        chosen_components(str(options[COMPONENTS]))
    return options


def _ports_refused(state: State) -> bool:
    """Whether the last run stopped at its ports: the cluster has others, or something else holds them."""
    codes = {step: (state.step(step).error or {}).get("code") for step in ("preflight", "cluster_create")}
    moved_in_vain = codes["preflight"] in TAKEN_PORTS and state.step("manifests_apply").attempts > 0
    return moved_in_vain or codes["cluster_create"] == "ports-fixed"


def named_bundle(app: App) -> BundleFile | None:
    """Return the bundle, if one is named, once all but its content is checked; raises InstallError."""
    options = app.settings.options
    if BUNDLE not in options:
        if BUNDLE_KEY in options:
            raise usage_error("--bundle-key needs --bundle FILE: it is the key that a bundle must be signed by")
        return None
    from contextcore_install.system.packages.bundle_file import open_bundle

    return open_bundle(Path(options[BUNDLE]), options.get(BUNDLE_KEY, ""))


def note_bundle(app: App) -> None:
    """Keep which bundle an installation's tools come from, until others are to be fetched: hints name it again."""
    if bundle := app.settings.options.get(BUNDLE):
        write_atomically(app.layout.offline_bundle, os.fsencode(bundle))
    elif app.settings.install_tools:
        app.layout.offline_bundle.unlink(missing_ok=True)


def require_provider(bundle: BundleFile, provider: str) -> None:
    """Raise InstallError if a bundle has nothing for a provider."""
    providers = bundle.manifest.providers
    if provider not in providers:
        message = f"{bundle.path} is for --provider {' and '.join(providers)}, and not for {provider}"
        hint = f"use --provider {providers[0]}, or another bundle" if providers else ""
        raise InstallError("bundle-provider", message, hint=hint, exit_code=ExitCode.PREFLIGHT_FAILED)


def allocate_ports(app: App, state: State, selection: Selection) -> tuple[Selection, list[str]]:
    """Return the selection, a new installation's with the ports that neighbours leave it, and notices."""
    if "ports" in state.settings or selection.was_found:
        return selection, []
    others = (name for name in app.home.cluster_names() if name != app.settings.cluster)
    given, taken = selection.ports, {port: name for name in others for port in _held_by(app, name).values()}
    usual = {key: port for key, port in held_ports(selection.provider, given).items() if key not in given}
    neighbours = ", ".join(sorted({taken[port] for port in usual.values() if port in taken}))
    chosen = _free_block(usual, {*taken, *given.values()}) if neighbours else {}
    if not chosen:
        return selection, []
    shown = ", ".join(f"{key} {port}" for key, port in chosen.items() if not PORTS[key].internal)
    notice = f"{neighbours} has the usual ports; those of this one are {shown}"
    return replace(selection, ports={**chosen, **given}), [notice]


def _free_block(keys: Mapping[str, int], taken: set[int]) -> dict[str, int]:
    """Return a port for each key, always at its own place, from the first block that is free; none if all are full."""
    for first in BLOCKS:
        ports = {key: first + place for place, key in enumerate(PORTS) if key in keys}
        if taken.isdisjoint(ports.values()) and not any(map(bind_problem, ports.values())):
            return ports
    return {}


def _held_by(app: App, name: str) -> Mapping[str, int]:
    """Return the ports that an installation has; if its records are gone, those of what its folder holds."""
    layout = app.home.cluster(name)
    try:
        settings = read_records(layout, name).state.settings
        if "ports" in settings:
            return recorded_ports(settings)
        found = left_by(layout)
        config = ProviderConfig(name, layout.folder, app.home.bin, app.environ)
        made = recollect(found, config) if found else None
        return {} if made is None else held_ports(found, made)
    except InstallError:
        return {}  # what is alive of it holds its ports itself


def recorded_ports(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the ports of this machine that an installation with these settings, written by anybody, has, by key."""
    provider, ports = str(settings.get("provider")), settings.get("ports")
    if provider not in PROVIDERS or not isinstance(ports, dict):
        return {}
    known = {key: port for key, port in ports.items() if key in PORTS and isinstance(port, int)}
    try:
        return held_ports(provider, known)
    except InstallError:  # one port for two
        return {}
