"""The providers by name. Adding one is a module or folder beside this file, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from contextcore_install.core.provider import Provider, ProviderConfig

PROVIDERS = {
    "host": "contextcore_install.providers.host",
    "kind": "contextcore_install.providers.kind",
    "kube-context": "contextcore_install.providers.existing_cluster",
}
"""Name -> module with a `create(config: ProviderConfig) -> Provider`; imported when it is used."""


def create_provider(name: str, config: ProviderConfig) -> Provider:
    """Return the provider of a name; KeyError where there is none."""
    provider: Provider = import_module(PROVIDERS[name]).create(config)
    return provider


def recollect(name: str, config: ProviderConfig) -> Mapping[str, int] | None:
    """Return the ports that an installation of a lost state was made with, as far as what is there tells.

    None where nothing of it is there. Only reads; raises InstallError where what would tell cannot be asked.
    """
    ports: Mapping[str, int] | None = import_module(PROVIDERS[name]).recollect(config)
    return ports


def held_ports(name: str, ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports of this machine that a provider's installation has, by key, with those that it was given.

    Raises InstallError (usage) for ports that cannot be.
    """
    held: dict[str, int] = import_module(PROVIDERS[name]).held_ports(ports)
    return held
