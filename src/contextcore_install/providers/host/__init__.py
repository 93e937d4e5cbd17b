"""The stack as processes of this user on this machine, without a container engine."""

from __future__ import annotations

from contextcore_install.core.ports import Provider, ProviderConfig
from contextcore_install.providers.host.provider import HostProvider


def create(config: ProviderConfig) -> Provider:
    """Return the provider. Raises InstallError (usage) for ports that cannot be."""
    return HostProvider(config)
