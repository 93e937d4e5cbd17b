"""The stack in a Kubernetes cluster that exists: reached through one of kubectl's contexts, never made or removed."""

from __future__ import annotations

from contextcore_install.core.ports import Provider, ProviderConfig
from contextcore_install.providers.kube_context.provider import KubeContextProvider


def create(config: ProviderConfig) -> Provider:
    """Return the provider. Raises InstallError (usage) for ports that cannot be."""
    return KubeContextProvider(config)
