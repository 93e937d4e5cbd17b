"""What a cluster is to be made with, and the configuration for kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.tables import read_table
from contextcore_install.providers.kind.owner import NODE_LABEL
from contextcore_install.stack.catalogue import LOOPBACK, PORTS

# Of kind v0.33.0's release notes; by digest, so that it is the image that was tried
NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
#: From here on the kubelet refuses cgroup v1 (Kubernetes 1.35, KubeletConfiguration failCgroupV1).
CGROUP_V2_SINCE = (1, 35)
#: Before Kubernetes 1.27, a kubelet tells only every ten seconds that its node is Ready, and five things a second
#: (pull requests 112618 and 116121 of kubernetes/kubernetes): older ones are set to do as newer ones do.
EAGER_KUBELET_SINCE = (1, 27)
_EAGER_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "nodeStatusUpdateFrequency": "1s",
    "nodeStatusReportFrequency": "5m",
    "kubeAPIQPS": 50,
    "kubeAPIBurst": 100,
}
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
    older = read_table(Path(__file__).with_name("node_images.toml"))
    return str(older.get(".".join(map(str, kind[:2])), NODE_IMAGE))


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
    is_old = (image_version(image) or EAGER_KUBELET_SINCE) < EAGER_KUBELET_SINCE
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        **({"kubeadmConfigPatches": [json.dumps(_EAGER_KUBELET)]} if is_old else {}),
        "nodes": [control_plane, *({"role": "worker", **node} for _ in range(workers))],
    }


def image_version(image: str) -> tuple[int, int] | None:
    """Return the Kubernetes version in a node image's name; None if there is none."""
    found = _VERSION.search(image.partition("@")[0].rpartition(":")[2])
    return (int(found[1]), int(found[2])) if found else None


def needs_cgroup_v2(image: str) -> bool:
    version = image_version(image)
    return version is not None and version >= CGROUP_V2_SINCE
