"""A cluster of ours: what it is made with, and the note of its making, by which it and its ports are known."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import asdict, dataclass, replace
from contextcore_install.core.errors import RESUME, InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.core.tables import read_table
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kind.engine_info import HOLDING_PORTS, Node
from contextcore_install.providers.kubernetes.objects import moment
from contextcore_install.stack.catalogue import LOOPBACK, PORTS
from contextcore_install.system.files import read_text, write_atomically, writing
from contextcore_install.system.ports import takes_connections

# Of kind v0.33.0's release notes; by digest, so that it is the image that was tried
NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
CGROUP_V2_SINCE = (1, 35)  # from there on the kubelet refuses cgroup v1 (KubeletConfiguration failCgroupV1)
EAGER_KUBELET_SINCE = (1, 27)  # older ones are set to do as newer ones do (node_images.toml, eager_kubelet)
QUICK_START_SINCE = (1, 19)  # older ones take no keys of elliptic curves
_VERSION = re.compile(r"v(\d+)\.(\d+)")
_TABLE = Path(__file__).with_name("node_images.toml")
NODE_LABEL = "contextcore-install/cluster-id"  # of our nodes in the cluster: known even if the note is lost
CLOCKS_DIFFER_S = 120.0  # seconds by which the engine's clock (a virtual machine's) may differ from ours
ASSUMED_S = 10.0  # for which a port of our node's is assumed to be so still: asking the engine starts two programs


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a cluster is to be made with. `images` returns those to load into its nodes, and may raise InstallError."""

    ports: Mapping[str, int]
    node_image: str
    workers: int
    images: Callable[[], Sequence[str]]


def default_node_image(kind: tuple[int, ...]) -> str:
    """Return the node image for a version of kind (empty if unknown): an older kind cannot make the newest."""
    return str(read_table(_TABLE)["older"].get(".".join(map(str, kind[:2])), NODE_IMAGE))


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
    version, table = image_version(image) or EAGER_KUBELET_SINCE, read_table(_TABLE)
    patches = [table["eager_kubelet"]] if version < EAGER_KUBELET_SINCE else []
    patches += table["quick_start"] if version >= QUICK_START_SINCE else []
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "kubeadmConfigPatches": [json.dumps(patch) for patch in patches],
        "nodes": [control_plane, *({"role": "worker", **node} for _ in range(workers))],
    }


def image_version(image: str) -> tuple[int, int] | None:
    """Return the Kubernetes version in a node image's name; None if there is none."""
    found = _VERSION.search(image.partition("@")[0].rpartition(":")[2])
    return (int(found[1]), int(found[2])) if found else None


def needs_cgroup_v2(image: str) -> bool:
    version = image_version(image)
    return version is not None and version >= CGROUP_V2_SINCE


@dataclass(frozen=True, slots=True)
class Owner:
    """A creation of ours, as it is noted; older notes do not have what is about the engine."""

    id: str
    cluster: str
    began: float
    ports: tuple[int, ...]
    nodes: tuple[str, ...] = ()  # the ids of its containers, once they are known
    complete: bool = False  # whether it ended well
    made_network: bool = False  # whether the engine had no network for kind before it
    engine: str = ""  # the command by which it was made
    engine_at: str = ""  # the engine's address
    engine_id: str = ""  # its own identity

    def owns(self, nodes: Sequence[Node]) -> bool:
        """Tell whether containers are of this creation: by their ids or, before these are known, by time and ports."""
        if self.nodes:
            return any(node.id in self.nodes for node in nodes)
        since = all(moment(node.created) >= self.began - CLOCKS_DIFFER_S for node in nodes)
        bound = [{port for _, port in node.ports.values()} for node in nodes if node.is_control_plane]
        return since and all(set(self.ports) <= ports for ports in bound)


def owner_file(config: ProviderConfig) -> OwnerFile:
    return OwnerFile(config.folder.absolute() / "kind" / "owner.json", config.cluster)


@dataclass(frozen=True, slots=True)
class OwnerFile:
    """The note, as a file. What writes it raises InstallError."""

    path: Path
    cluster: str

    def read(self) -> Owner | None:
        try:
            document = json.loads(read_text(self.path))
            known: dict[str, Any] = {name: str(document[name]) for name in ("id", "cluster")}
            known |= {name: str(document.get(name) or "") for name in ("engine", "engine_at", "engine_id")}
            known |= {"complete": bool(document["complete"]), "made_network": bool(document.get("made_network"))}
            ports, nodes = tuple(map(int, document["ports"])), tuple(document["nodes"])
            if not all(node.isalnum() for node in nodes):  # they become arguments of the engine's command
                return None
            owner = Owner(began=float(document["began"]), ports=ports, nodes=nodes, **known)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        return owner if owner.cluster == self.cluster else None

    def begin(self, ports: Sequence[int], engine: str, *, makes_network: bool = False) -> Owner:
        """Note that a creation is to begin in an engine; raises `cluster-elsewhere` if another one has the cluster."""
        before = self.read()
        if before is not None and before.complete and before.engine not in {"", engine}:
            message = f"The cluster {self.cluster} was made in {before.engine}; none is made in {engine} beside it."
            raise InstallError("cluster-elsewhere", message, hint=RESUME)
        identity = secrets.token_hex(8)
        owner = Owner(identity, self.cluster, time.time(), tuple(ports), made_network=makes_network, engine=engine)
        return self._write(owner)

    def adopt(self, identity: str, nodes: Sequence[Node], engine: str) -> Owner:
        """Note a cluster of ours whose note was lost."""
        ids = tuple(node.id for node in nodes)
        return self._write(Owner(identity, self.cluster, time.time(), (), ids, complete=True, engine=engine))

    def made_in(self, engine: str, address: str, identity: str) -> None:
        """Note which engine has our cluster: the same command can lead to another one."""
        if (owner := self.read()) is None:
            return
        known = owner if owner.engine else replace(owner, engine=engine)
        known = replace(known, engine_at=address, engine_id=identity) if identity else known
        if known != owner:
            self._write(known)

    def finish(self, owner: Owner, nodes: Sequence[Node]) -> Owner:
        return self._write(replace(owner, nodes=tuple(node.id for node in nodes), complete=True))

    def forget(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _write(self, owner: Owner) -> Owner:
        with writing(self.path.parent):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(asdict(owner)) + "\n")
        return owner


class PortHolders:
    """Tells our nodes from others on their ports; without a note (`owner`), the cluster is known by its own mark."""

    def __init__(
        self,
        nodes: Callable[[], Sequence[Node]],
        owner: Callable[[], Owner | None],
        takes_connections: Callable[[int], bool] = takes_connections,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes, self._owner, self._takes_connections = nodes, owner, takes_connections
        self._ours = TtlCache(self._ask, ASSUMED_S, monotonic)

    def stranger(self, port: int) -> str:
        """Say who listens on a port in place of our nodes; empty if that is they, nobody, or unknown."""
        with suppress(InstallError):
            if self._takes_connections(port) and not any(port in self._ours.read(fresh=now) for now in (False, True)):
                return f"port {port} is held, and not by a node of this cluster that runs"
        return ""

    def _ask(self) -> set[int]:
        nodes, owner = self._nodes(), self._owner()
        if owner is not None and not owner.owns(nodes):
            return set()
        return {here for node in nodes if node.state in HOLDING_PORTS for _, here in node.ports.values()}
