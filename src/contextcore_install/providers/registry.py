"""The providers by name. Adding one is a folder beside this file, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # every command imports this
    from typing import Any

    from contextcore_install.core.provider import Provider, ProviderConfig

#: Name -> folder, whose module `provider` has `create`, `recollect` and `held_ports`; imported when it is used.
PROVIDERS = {"host": "host", "kind": "kind", "kube-context": "existing_cluster"}
#: The variables by which one finds its place, each with what it is if it is not set; `~` is the home of this user.
_FINDS_BY = {
    "kind": {"KUBECONFIG": "~/.kube/config", "DOCKER_HOST": "unix:///var/run/docker.sock"},
    "kube-context": {"KUBECONFIG": "~/.kube/config"},
}


def _module(name: str) -> Any:
    return import_module(f"contextcore_install.providers.{PROVIDERS[name]}.provider")


def found_by(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without which a provider would look elsewhere; of any, if the name is none's.

    One that may hold credentials is left out.
    """
    wanted = _FINDS_BY.get(name, {}) if name in PROVIDERS else _FINDS_BY["kind"]
    home = environ.get("HOME", "")
    usual = {variable: text.replace("~", home, 1) for variable, text in wanted.items()}
    given = {variable: text for variable in usual if (text := environ.get(variable)) and text != usual[variable]}
    if not given:
        return given
    from contextcore_install.core.redaction import hide_secrets

    return {variable: text for variable, text in given.items() if hide_secrets(text) == text}


def create_provider(name: str, config: ProviderConfig) -> Provider:
    """Return a provider (a module's `create`); raises InstallError (usage) for ports that cannot be used."""
    provider: Provider = _module(name).create(config)
    return provider


def recollect(name: str, config: ProviderConfig) -> Mapping[str, int] | None:
    """Return the ports of an installation whose state is lost, as far as they can be read; None if nothing is there.

    Only reads; raises InstallError if they cannot be asked for.
    """
    ports: Mapping[str, int] | None = _module(name).recollect(config)
    return ports


def held_ports(name: str, ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports of this machine that an installation holds, by key; raises InstallError (usage)."""
    held: dict[str, int] = _module(name).held_ports(ports)
    return held
