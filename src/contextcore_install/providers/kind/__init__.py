"""The stack in a cluster of kind: Kubernetes in containers on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.kind.cluster import mapped_ports, owner_file
from contextcore_install.providers.kind.engine import choose_engine, engine_answers, nodes_of
from contextcore_install.providers.kind.provider import KindProvider
from contextcore_install.providers.kind.report import other_ports
from contextcore_install.stack.catalogue import resolve_ports

__all__ = ["create", "engine_answers", "held_ports", "recollect"]
create = KindProvider


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    owner = owner_file(config).read()
    nodes = nodes_of(choose_engine(config.environ, owner), config.cluster, owner)
    return other_ports(nodes, resolve_ports({})) if nodes else None


def held_ports(ports: Mapping[str, int]) -> dict[str, int]:
    return dict(mapped_ports(resolve_ports(ports)).values())
