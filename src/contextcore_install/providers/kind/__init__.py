"""The stack in a cluster of kind: Kubernetes in containers on this machine."""

from __future__ import annotations

from contextcore_install.core.ports import Provider, ProviderConfig
from contextcore_install.providers.kind.engine import engine_answers
from contextcore_install.providers.kind.provider import KindProvider

__all__ = ["create", "engine_answers"]


def create(config: ProviderConfig) -> Provider:
    """Return the provider. Raises InstallError (usage) for ports that cannot be."""
    return KindProvider(config)
