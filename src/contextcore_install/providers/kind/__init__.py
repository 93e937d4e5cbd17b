"""The stack in a cluster of kind: Kubernetes in containers on this machine."""

from contextcore_install.providers.kind.engine import engine_answers
from contextcore_install.providers.kind.provider import create, held_ports, recollect

__all__ = ["create", "engine_answers", "held_ports", "recollect"]
