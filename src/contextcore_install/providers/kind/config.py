"""What a cluster is to be made with, and the configuration for kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextcore_install.providers.kind.owner import NODE_LABEL
from contextcore_install.stack.catalogue import LOOPBACK, PORTS

# Of kind v0.33.0's release notes; by digest, so that it is the image that was tried
NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
# The default image of each older kind (pkg/apis/config/defaults/image.go), for which it writes a configuration: from
# Kubernetes 1.36 on, kubeadm takes v1beta4 only, which kind writes since 0.32.
_OLDER_IMAGES = {
    (0, 20): "v1.27.3@sha256:3966ac761ae0136263ffdb6cfd4db23ef8a83cba8a463690e98317add2c9ba72",
    (0, 21): "v1.29.1@sha256:a0cc28af37cf39b019e2b448c54d1a3f789de32536cb5a5db61a49623e527144",
    (0, 22): "v1.29.2@sha256:51a1434a5397193442f0be2a297b488b6c919ce8a3931be0ce822606ea5ca245",
    (0, 23): "v1.30.0@sha256:047357ac0cfea04663786a612ba1eaba9702bef25227a794b52890dd8bcd692e",
    (0, 24): "v1.31.0@sha256:53df588e04085fd41ae12de0c3fe4c72f7013bba32a20e7325357a1ac94ba865",
    (0, 25): "v1.31.2@sha256:18fbefc20a7113353c7b75b5c869d7145a6abd6269154825872dc59c1329912e",
    (0, 26): "v1.32.0@sha256:c48c62eac5da28cdadcf560d1d8616cfa6783b58f0d94cf63ad1bf49600cb027",
    (0, 27): "v1.32.2@sha256:f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f",
    (0, 28): "v1.33.1@sha256:8d866994839cd096b3590681c55a6fa4a071fdaf33be7b9660e5697d2ed13002",
    (0, 29): "v1.33.1@sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f",
    (0, 30): "v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
    (0, 31): "v1.35.0@sha256:452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f",
    (0, 32): "v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
}
#: From here on the kubelet refuses cgroup v1 (Kubernetes 1.35, KubeletConfiguration failCgroupV1).
CGROUP_V2_SINCE = (1, 35)
_VERSION = re.compile(r"v(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a cluster is to be made with. `images` returns those to load into its nodes, and may raise InstallError."""

    ports: Mapping[str, int]
    node_image: str
    workers: int
    images: Callable[[], Sequence[str]]


def default_node_image(kind: tuple[int, ...]) -> str:
    """Return the node image for a version of kind (empty if unknown): an older kind cannot make the newest."""
    older = _OLDER_IMAGES.get((kind[0], kind[1])) if len(kind) > 1 else None
    return f"kindest/node:{older}" if older else NODE_IMAGE


def mapped_ports(ports: Mapping[str, int]) -> dict[int, tuple[str, int]]:
    """Return the ports that the cluster publishes on this machine: node port -> (key, host port)."""
    return {port.node_port: (key, ports[key]) for key, port in PORTS.items() if port.node_port}


def cluster_config(name: str, identity: str, ports: Mapping[str, int], image: str, workers: int) -> dict[str, Any]:
    """Return kind's configuration (kind.x-k8s.io/v1alpha4)."""
    mappings = [
        # The default of listenAddress, 0.0.0.0, would show the stack to the whole network.
        {"containerPort": inside, "hostPort": here, "listenAddress": LOOPBACK, "protocol": "TCP"}
        for inside, (_, here) in sorted(mapped_ports(ports).items())
    ]
    node = {"image": image, "labels": {NODE_LABEL: identity}}
    control_plane = {"role": "control-plane", **node, "extraPortMappings": mappings}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "nodes": [control_plane, *({"role": "worker", **node} for _ in range(workers))],
    }


def image_version(image: str) -> tuple[int, int] | None:
    """Return the Kubernetes version in a node image's name; None if there is none."""
    found = _VERSION.search(image.partition("@")[0].rpartition(":")[2])
    return (int(found[1]), int(found[2])) if found else None


def needs_cgroup_v2(image: str) -> bool:
    """Tell whether a node image is known to refuse cgroup v1."""
    version = image_version(image)
    return version is not None and version >= CGROUP_V2_SINCE
