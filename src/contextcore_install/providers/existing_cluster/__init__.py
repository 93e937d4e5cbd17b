"""The stack in a Kubernetes cluster that exists: reached through one of kubectl's contexts, never made or removed."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.provider import Provider, ProviderConfig
from contextcore_install.providers.existing_cluster.provider import CONTEXT_FILE, KubeContextProvider


def create(config: ProviderConfig) -> Provider:
    return KubeContextProvider(config)


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    """Return no ports, as there are none to choose; None if this machine has no note of a release."""
    return {} if (config.folder / KubeContextProvider.name / CONTEXT_FILE).is_file() else None


def held_ports(_: Mapping[str, int]) -> dict[str, int]:
    """Return no ports: forwards take what is free, and end with the program."""
    return {}
