"""What is there under the cluster's name: read from the engine's containers, our note, and the cluster itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kind.cluster import NODE_LABEL, Owner, OwnerFile
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kubernetes.client import Kubectl, Reader, items_of
from contextcore_install.providers.kubernetes.objects import Manifest, moment
from contextcore_install.providers.kubernetes.pods import Pod

API_PORT = 6443  # of the API server inside the control plane's container
API_DEAD = "api-unreachable"  # the code for an API server that does not answer; any other error is an answer
ASK_S, HEALTH_S = 10.0, 30.0
#: Seconds that the first start of a node may take, and within which it says after joining that it is not Ready yet.
FIRST_START_S, JOINING_S = 300.0, 10.0
# The API server's certificate is valid for localhost (kind: pkg/cluster/internal/kubeadm/config.go), which a node
# resolves without the network; its own name it does not.
_GET_NODES = (
    *("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--server=https://localhost:6443"),
    *("--request-timeout=5s", "get", "nodes", "-o", "json"),
)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The ways to a cluster: the engine's command, kubectl in its context, and our note."""

    name: str
    engine: ContainerEngine
    kubectl: Kubectl
    owners: OwnerFile


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """What was seen: the containers, and whose they are."""

    nodes: tuple[Node, ...]
    owner: Owner | None
    ours: bool
    identity: str = ""
    members: tuple[Manifest, ...] = ()  # the cluster's Node objects
    kubectl_error: InstallError | None = None  # why kubectl does not reach the API from here
    api_error: InstallError | None = None  # why the API does not answer in its own node either
    waiting: bool = False  # whether a pod is unschedulable

    @property
    def running(self) -> bool:
        return all(node.state == "running" for node in self.nodes)

    @property
    def answers(self) -> bool:
        return bool(self.nodes and self.members) and self.running and self.kubectl_error is None

    @property
    def control_plane(self) -> Node | None:
        return next((node for node in self.nodes if node.is_control_plane), None)

    @property
    def api_port(self) -> int:
        """The port of this machine that leads to the API server; 0 if unknown."""
        return self.control_plane.ports.get(API_PORT, ("", 0))[1] if self.control_plane else 0

    @property
    def context_is_broken(self) -> bool:
        """Whether the API answers in its own node, and kubectl does not reach it: the cause is on this side."""
        return self.kubectl_error is not None and self.api_error is None

    @property
    def cordoned(self) -> list[str]:
        return [member.key.name for member in self.members if member.spec.get("unschedulable")]

    @property
    def unready(self) -> list[str]:
        """Names of the nodes that are not Ready, if the API answers."""
        if self.api_error is not None:
            return []
        ready = {member.key.name for member in self.members if member.is_ready}
        return [node.name for node in self.nodes if node.name not in ready and node.is_member]

    def is_starting(self, now: float) -> bool:
        """Tell whether all nodes that are not Ready are at their first start; `now` in seconds since 1970."""
        starting = {member.key.name for member in self.members if _is_at_first_start(member, now)}
        return self.answers and bool(self.unready) and starting.issuperset(self.unready)

    @property
    def unready_conditions(self) -> list[str]:
        found = {item.key.name: item.conditions["Ready"] for item in self.members if "Ready" in item.conditions}
        return [
            f"{name}: {entry.get('reason', '')}: {entry.get('message', '')}"
            for name, entry in found.items()
            if entry.get("status") != "True"
        ]

    @property
    def lost_count(self) -> int:
        return len(set(self.owner.nodes) - {node.id for node in self.nodes}) if self.owner else 0


@dataclass
class Inspector:
    """Takes snapshots of a cluster."""

    cluster: ClusterAccess
    nodes: TtlCache[Sequence[Node]]
    reader: Reader
    _seen: tuple[Node, ...] = ()

    def inspect(self, *, fresh: bool = False, thorough: bool = True) -> ClusterSnapshot:
        """Return what is there; an API is asked in its own node only if this is `thorough`. Raises InstallError."""
        nodes = self._seen = tuple(self.nodes.read(fresh=fresh))
        owner = self.cluster.owners.read()
        if not nodes:
            return ClusterSnapshot((), owner, ours=True)
        ours = owner is not None and owner.owns(nodes)
        snapshot = ClusterSnapshot(nodes, owner, ours)
        if not snapshot.running:
            return snapshot
        snapshot = self._ask_kubectl(snapshot, fresh=fresh, thorough=thorough)
        identity = next(filter(None, (member.labels.get(NODE_LABEL) for member in snapshot.members)), "")
        if owner is not None and not owner.nodes:
            ours = ours and (not snapshot.members or identity == owner.id)
        elif owner is not None and ours and identity != owner.id and self._is_misdirected(snapshot):
            message = f"kind-{self.cluster.name} leads to another cluster of that name."
            error = InstallError("context-elsewhere", message)
            return self._ask_in_node(replace(snapshot, members=(), waiting=False), error)
        return replace(snapshot, identity=identity, ours=ours or (owner is None and bool(identity)))

    def _ask_kubectl(self, snapshot: ClusterSnapshot, *, fresh: bool, thorough: bool) -> ClusterSnapshot:
        """Add what kubectl says of the nodes; if it says nothing, what they say themselves."""
        try:
            objects = self.reader.read(fresh=fresh)
        except InstallError as error:
            if not thorough:
                return replace(snapshot, kubectl_error=error, api_error=error)
            snapshot = self._ask_in_node(snapshot, error)
            if not snapshot.context_is_broken:
                return snapshot
            try:  # for nothing but the nodes: the first question also needs manifests that can be rendered
                members = tuple(self.cluster.kubectl.items("nodes"))
            except InstallError as last:
                return replace(snapshot, kubectl_error=last)
            return replace(snapshot, members=members, kubectl_error=None) if members else snapshot
        members = tuple(objects.of_kind("Node"))
        waiting = any(Pod(pod).reason == "Unschedulable" for pod in objects.of_kind("Pod"))
        if members or not thorough:
            return replace(snapshot, members=members, waiting=waiting)
        forbidden = InstallError("api-forbidden", f"kubectl's user may not see the nodes of {self.cluster.name}.")
        in_node = self._ask_in_node(snapshot, forbidden)
        return in_node if in_node.members else snapshot

    def _ask_in_node(self, snapshot: ClusterSnapshot, error: InstallError) -> ClusterSnapshot:
        """Ask the API server for the nodes in its own node, past kubectl's configuration, which led to an error."""
        name = snapshot.control_plane.name if snapshot.control_plane else ""
        try:
            done = self.cluster.engine.ask("exec", name, *_GET_NODES, timeout_s=ASK_S)
            if done.exit_code != 0:
                raise kubectl_failure(" ".join(done.argv), done.stderr.splitlines(), {"context": name})
            return replace(snapshot, members=tuple(items_of(done.stdout)), kubectl_error=error)
        except InstallError as silent:
            return replace(snapshot, kubectl_error=error, api_error=silent)

    def _is_misdirected(self, snapshot: ClusterSnapshot) -> bool:
        """Tell whether kubectl reached another cluster: another home or engine may have written its context."""
        if snapshot.kubectl_error is not None:
            return False
        show_server = ("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        done = self.cluster.kubectl.attempt(*show_server)
        return done.exit_code != 0 or not done.stdout.strip().endswith(f":{snapshot.api_port}")

    def has_restarted_recently(self) -> bool:
        """Tell whether a node that was made before was started lately, as far as the engine tells."""
        with suppress(InstallError):
            self.started()
        return any(node.was_restarted_recently(time.time()) for node in self._seen)

    def started(self) -> Mapping[str, str]:
        """Return when each node's container was started last, as of the last inspection. Raises InstallError."""
        self._seen = self._seen or tuple(self.nodes.read())
        return {node.name: node.started for node in self._seen}


def _is_at_first_start(member: Manifest, now: float) -> bool:
    """Tell whether a node joined a short while ago, and has not been Ready since."""
    ready = member.conditions.get("Ready", {})
    never = ready.get("status") == "False" and moment(ready.get("lastTransitionTime")) - member.made_at < JOINING_S
    return never and abs(now - member.made_at) < FIRST_START_S  # by another clock, which may be ahead


def sickness(engine: ContainerEngine, node: Node) -> str:
    """Return why a node is sick: its kubelet or its containerd is, or no command runs in it; empty if it is well."""
    try:
        script = Path(__file__).with_name("node_health.sh").read_text(encoding="ascii")
        done = engine.ask("exec", node.name, "sh", "-c", script, timeout_s=HEALTH_S)
    except InstallError as error:
        return error.message if error.code == "command-timeout" else ""
    if done.exit_code != 0:
        said = done.stderr.strip() or done.stdout.strip()
        return f"no command runs in it: {said}" if "daemon" not in said else ""
    return "; ".join(done.stdout.splitlines())
