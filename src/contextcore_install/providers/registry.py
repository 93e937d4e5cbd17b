"""The providers by name. Adding one is a module or folder beside this file, and one line here."""

from __future__ import annotations

from importlib import import_module

from contextcore_install.core.ports import Provider, ProviderConfig

PROVIDERS = {
    "host": "contextcore_install.providers.host",
    "kind": "contextcore_install.providers.kind",
    "kube-context": "contextcore_install.providers.kube_context",
}
"""Name -> module with a `create(config: ProviderConfig) -> Provider`; imported when it is used."""


def create_provider(name: str, config: ProviderConfig) -> Provider:
    """Return the provider of a name; KeyError where there is none."""
    provider: Provider = import_module(PROVIDERS[name]).create(config)
    return provider
