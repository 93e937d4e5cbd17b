"""What is there under the cluster's name: read from the engine's containers, our note, and the cluster itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import RESUME
from contextcore_install.core.ports import StepContext
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kind.comeback import came_back_lately
from contextcore_install.providers.kind.engine import Node
from contextcore_install.providers.kind.inside import Inside
from contextcore_install.providers.kind.owner import NODE_LABEL, Owner, OwnerFile
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import is_ready, label_of
from contextcore_install.providers.kubernetes.pods import read_pod
from contextcore_install.providers.kubernetes.snapshot import Reader

Members = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """What was seen: the containers, whose they are, and what the cluster says of its nodes.

    `api` is why kubectl does not reach the API from here, and `silent` why the API does not answer in its own node
    either. `waiting` says that a pod finds no node that takes it.
    """

    nodes: tuple[Node, ...]
    owner: Owner | None
    ours: bool
    identity: str = ""
    members: Members = ()
    api: InstallError | None = None
    silent: InstallError | None = None
    waiting: bool = False

    @property
    def running(self) -> bool:
        """Whether every container runs."""
        return all(node.state == "running" for node in self.nodes)

    @property
    def misled(self) -> bool:
        """Whether the API answers in its own node, and kubectl does not reach it: the trouble is on this side."""
        return self.api is not None and self.silent is None

    @property
    def cordoned(self) -> list[str]:
        """Names of the nodes that take no new pods."""
        return [
            str(member["metadata"]["name"])
            for member in self.members
            if (member.get("spec") or {}).get("unschedulable")
        ]

    @property
    def unready(self) -> list[str]:
        """Names of the nodes that are not Ready, if anything tells."""
        if self.silent is not None:
            return []
        ready = {member["metadata"]["name"] for member in self.members if is_ready(member)}
        return [node.name for node in self.nodes if node.name not in ready and node.is_member]


def conditions_of(sight: ClusterSnapshot) -> list[str]:
    """Return what is said of the nodes that are not Ready: reason and message of that condition."""
    return [
        f"{member['metadata']['name']}: {entry.get('reason', '')}: {entry.get('message', '')}"
        for member in sight.members
        for entry in (member.get("status") or {}).get("conditions") or []
        if entry.get("type") == "Ready" and entry.get("status") != "True"
    ]


class Inspector:
    """Looks at a cluster."""

    def __init__(
        self,
        cluster: str,
        nodes: TtlCache[Sequence[Node]],
        kubectl: Kubectl,
        reader: Reader,
        owners: OwnerFile,
        inside: Inside,
    ) -> None:
        self._cluster = cluster
        self._read_nodes = nodes.read
        self._kubectl = kubectl
        self._reader = reader
        self._owners = owners
        self._inside = inside
        self._nodes: tuple[Node, ...] = ()

    def see(self, *, fresh: bool = False, thorough: bool = True) -> ClusterSnapshot:
        """Return what is there now. Raises InstallError when the engine does not answer.

        Unless it is `thorough`, an API that kubectl does not reach is not asked for in its own node, and counts as
        silent there.
        """
        nodes = self._nodes = tuple(self._read_nodes(fresh=fresh))
        owner = self._owners.read()
        if not nodes:
            return ClusterSnapshot((), owner, ours=True)
        ours = owner is not None and owner.owns(nodes)
        if not all(node.state == "running" for node in nodes):
            return ClusterSnapshot(nodes, owner, ours)
        sight = self._ask(ClusterSnapshot(nodes, owner, ours), fresh=fresh, thorough=thorough)
        members = sight.members
        identity = next((found for member in members if (found := label_of(member, NODE_LABEL))), "")
        if owner is not None and not owner.nodes:
            ours = ours and (not members or identity == owner.id)
        elif self._is_elsewhere(replace(sight, identity=identity)):
            return self._ask_inside(replace(sight, members=(), waiting=False), _elsewhere(self._cluster))
        return replace(sight, identity=identity, ours=ours or (owner is None and bool(identity)))

    def _is_elsewhere(self, sight: ClusterSnapshot) -> bool:
        """Tell whether kubectl reached another cluster than that of our containers."""
        if sight.owner is None or not sight.ours or sight.api is not None or sight.identity == sight.owner.id:
            return False
        return not self.leads_to(sight.nodes)

    def _ask(self, sight: ClusterSnapshot, *, fresh: bool, thorough: bool) -> ClusterSnapshot:
        """Return a sight with what kubectl tells of the nodes; if it tells nothing, with what they say themselves."""
        try:
            snapshot = self._reader.read(fresh=fresh)
        except InstallError as error:
            if not thorough:
                return replace(sight, api=error, silent=error)
            inside = self._ask_inside(sight, error)
            return self._ask_again(inside) if inside.misled else inside
        members = tuple(snapshot.of_kind("Node"))
        waiting = any(read_pod(pod).reason == "Unschedulable" for pod in snapshot.of_kind("Pod"))
        if members or not thorough:
            return replace(sight, members=members, waiting=waiting)
        unseen = InstallError("api-forbidden", f"kubectl's user may not see the nodes of {self._cluster}.")
        inside = self._ask_inside(sight, unseen)
        return inside if inside.members else sight

    def _ask_inside(self, sight: ClusterSnapshot, error: InstallError) -> ClusterSnapshot:
        try:
            return replace(sight, members=self._inside.members(sight.nodes), api=error)
        except InstallError as silent:
            return replace(sight, api=error, silent=silent)

    def _ask_again(self, sight: ClusterSnapshot) -> ClusterSnapshot:
        """Return the sight once kubectl was asked for nothing but the nodes: the error may be a moment's, or another's.

        The first question also needs manifests that can be rendered.
        """
        try:
            members = tuple(self._kubectl.items("nodes"))
        except InstallError as error:
            return replace(sight, api=error)
        return replace(sight, members=members, api=None) if members else sight

    def leads_to(self, nodes: Sequence[Node], ctx: StepContext | None = None) -> bool:
        """Tell whether kubectl's context leads to these containers. Raises InstallError."""
        done = self._kubectl.attempt(
            "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}", ctx=ctx
        )
        here = next((node.ports.get(6443, ("", 0))[1] for node in nodes if node.is_control_plane), 0)
        return done.exit_code == 0 and done.stdout.strip().endswith(f":{here}")

    def require_running(self) -> None:
        """Raise InstallError `cluster-not-running` where asking the API would only be waiting for nothing."""
        nodes = self._read_nodes()
        still = ", ".join(f"{node.name} ({node.state})" for node in nodes if node.state != "running")
        if nodes and not still:
            return
        raise InstallError(
            "cluster-not-running",
            f"The cluster {self._cluster} does not run.",
            still or "there is none of this name",
            RESUME,
        )

    def has_just_come_back(self) -> bool:
        """Tell whether a node that was made before was started lately, as of the last look."""
        return any(came_back_lately(node, time.time()) for node in self._nodes)

    def started(self) -> Mapping[str, str]:
        """Return when each node's container was started last, as of the last look. Raises InstallError."""
        if not self._nodes:
            self._nodes = tuple(self._read_nodes())
        return {node.name: node.started for node in self._nodes}


def _elsewhere(cluster: str) -> InstallError:
    """Return the error for a context that another home or engine has written for a cluster of the same name."""
    return InstallError("context-elsewhere", f"kind-{cluster} leads to another cluster of that name.")
