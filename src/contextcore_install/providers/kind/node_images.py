"""A node's own store of images, which is containerd's: what it has, and how an archive is imported into it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.system import process

CTR = ("ctr", "--namespace=k8s.io", "images")
IMPORT_WAYS: tuple[tuple[str, ...], ...] = ((), ("--all-platforms",))
"""How an archive is imported, in the order in which it is tried.

Without a platform, a node takes what is made for its own: an engine with containerd's store saves an index that names
the other platforms too, whose content it never had (kind's issue 3795). With all of them, a node takes an image that is
made for another platform only, which some engines emulate.
"""
#: Where containerd's configuration names the snapshotter that the kubelet's images are unpacked with, by its version.
_SNAPSHOTTER = (
    ("io.containerd.cri.v1.images", "snapshotter"),
    ("io.containerd.grpc.v1.cri", "containerd", "snapshotter"),
)


@dataclass(frozen=True, slots=True)
class NodeImages:
    """What a node has: the names of its images. `snapshotter` is empty where it does not say."""

    node: str
    names: frozenset[str]
    snapshotter: str = ""

    @classmethod
    def of(cls, engine: ContainerEngine, node: str) -> Self:
        """Ask a node. Raises InstallError where the engine cannot be asked."""
        listed = engine.ask("exec", node, *CTR, "ls", "--quiet")
        names = frozenset(listed.stdout.split()) if listed.exit_code == 0 else frozenset()
        dumped = engine.ask("exec", node, "containerd", "config", "dump")
        return cls(node, names, _snapshotter(dumped.stdout if dumped.exit_code == 0 else ""))


def import_argv(engine: str, node: NodeImages, way: Sequence[str]) -> list[str]:
    """Return the command that imports an archive from its input, as kind does it but for the platforms."""
    snapshotter = [f"--snapshotter={node.snapshotter}"] if node.snapshotter else []
    imports = [*CTR, "import", "--digests", *way, *snapshotter, "-"]
    return [engine, "exec", "--privileged", "-i", node.node, *imports]


def rename(engine: ContainerEngine, nodes: Sequence[NodeImages], before: str, after: str, ctx: StepContext) -> None:
    """Give an image the name that the manifests know it by. Raises InstallError."""
    for node in nodes:
        argv = [engine.name, "exec", node.node, *CTR, "tag", "--force", before, after]
        process.run(argv, ctx, environ=engine.environ, timeout_s=60)


def _snapshotter(dumped: str) -> str:
    try:
        document = tomllib.loads(dumped)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    for path in _SNAPSHOTTER:
        found: object = document
        for key in ("plugins", *path):
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found:
            return found
    return ""
