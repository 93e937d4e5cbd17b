"""The stack in a Kubernetes cluster that exists: reached through one of kubectl's contexts, never made or removed."""

from contextcore_install.providers.existing_cluster.provider import create, held_ports, recollect

__all__ = ["create", "held_ports", "recollect"]
