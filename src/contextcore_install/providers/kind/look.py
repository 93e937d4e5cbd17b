"""What is there under the cluster's name: read from the engine's containers, our note, and the cluster itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import ClusterReport, ClusterState
from contextcore_install.core.shared_read import SharedRead
from contextcore_install.diagnosis.diagnose import explain, problem_of
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.diagnosis.rules.cluster import CORDONED, NO_CONTEXT, NO_NOTE, NODES_LOST
from contextcore_install.providers._kubectl.client import Kubectl
from contextcore_install.providers._kubectl.objects import label_of
from contextcore_install.providers._kubectl.pods import read_pod
from contextcore_install.providers._kubectl.snapshot import Reader
from contextcore_install.providers.kind.comeback import came_back_lately
from contextcore_install.providers.kind.config import mapped_ports
from contextcore_install.providers.kind.engine import Node
from contextcore_install.providers.kind.owner import NODE_LABEL, Owner, OwnerFile

EXPORT = "kind export kubeconfig --name {cluster}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen: the containers, whose they are, and what the cluster says of its nodes.

    `waiting` says that a pod finds no node that takes it.
    """

    nodes: tuple[Node, ...]
    owner: Owner | None
    ours: bool
    identity: str = ""
    members: tuple[Mapping[str, Any], ...] = ()
    api: InstallError | None = None
    waiting: bool = False

    @property
    def running(self) -> bool:
        """Whether every container runs."""
        return all(node.state == "running" for node in self.nodes)

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
        """Names of the nodes that are not Ready."""
        ready = {member["metadata"]["name"] for member in self.members if is_ready(member)}
        return [node.name for node in self.nodes if node.name not in ready and node.is_member]


def is_ready(member: Mapping[str, Any]) -> bool:
    """Tell whether a node is Ready, as it said itself last."""
    conditions = (member.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def conditions_of(sight: Sight) -> list[str]:
    """Return what is said of the nodes that are not Ready: reason and message of that condition."""
    return [
        f"{member['metadata']['name']}: {entry.get('reason', '')}: {entry.get('message', '')}"
        for member in sight.members
        for entry in (member.get("status") or {}).get("conditions") or []
        if entry.get("type") == "Ready" and entry.get("status") != "True"
    ]


class Look:
    """Looks at a cluster."""

    def __init__(
        self,
        cluster: str,
        nodes: SharedRead[Sequence[Node]],
        kubectl: Kubectl,
        reader: Reader,
        owners: OwnerFile,
    ) -> None:
        self._cluster = cluster
        self._read_nodes = nodes.read
        self._kubectl = kubectl
        self._reader = reader
        self._owners = owners
        self._nodes: tuple[Node, ...] = ()

    def see(self, *, fresh: bool = False) -> Sight:
        """Return what is there now. Raises InstallError when the engine does not answer."""
        nodes = self._nodes = tuple(self._read_nodes(fresh=fresh))
        owner = self._owners.read()
        if not nodes:
            return Sight((), owner, ours=True)
        ours = owner is not None and owner.owns(nodes)
        if not all(node.state == "running" for node in nodes):
            return Sight(nodes, owner, ours)
        try:
            snapshot = self._reader.read(fresh=fresh)
        except InstallError as error:
            return Sight(nodes, owner, ours, api=error)
        members = tuple(snapshot.of_kind("Node"))
        waiting = any(read_pod(pod).reason == "Unschedulable" for pod in snapshot.of_kind("Pod"))
        identity = next((found for member in members if (found := label_of(member, NODE_LABEL))), "")
        if owner is not None and not owner.nodes:
            ours = ours and (not members or identity == owner.id)
        elif owner is not None and ours and identity != owner.id and not self.leads_to(nodes):
            return Sight(nodes, owner, ours, api=_elsewhere(self._cluster))
        ours = ours or (owner is None and bool(identity))
        return Sight(nodes, owner, ours, identity, members, waiting=waiting)

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
            "./create-cluster.sh --resume",
        )

    def has_just_come_back(self) -> bool:
        """Tell whether a node that was made before was started lately, as of the last look."""
        return any(came_back_lately(node, time.time()) for node in self._nodes)

    def started(self) -> Mapping[str, str]:
        """Return when each node's container was started last, as of the last look. Raises InstallError."""
        if not self._nodes:
            self._nodes = tuple(self._read_nodes())
        return {node.name: node.started for node in self._nodes}

    def report(self, sight: Sight, ports: Mapping[str, int]) -> ClusterReport:
        """Return what a sight comes to."""
        return report_of(self._cluster, sight, ports)


_ABOUT_CONTEXT = frozenset({"context-missing", "context-elsewhere", "api-credentials"})
"""Errors that a new kubeconfig heals."""


def _elsewhere(cluster: str) -> InstallError:
    """Return the error for a context that another home or engine has written for a cluster of the same name."""
    return InstallError("context-elsewhere", f"kind-{cluster} leads to another cluster of that name.")


def report_of(cluster: str, sight: Sight, ports: Mapping[str, int]) -> ClusterReport:
    """Return what a sight comes to."""
    names = ", ".join(f"{node.name} ({node.state})" for node in sight.nodes)
    if not sight.nodes:
        return ClusterReport(ClusterState.ABSENT, f"no container is a node of {cluster}")
    if not sight.ours:
        return ClusterReport(ClusterState.FOREIGN, f"{names}: {_foreign_words(sight)}")
    if sight.owner is not None and not sight.owner.complete:
        return ClusterReport(ClusterState.PARTIAL, f"{names}: its creation did not come to its end")
    if not any(node.is_control_plane for node in sight.nodes):
        return ClusterReport(
            ClusterState.LOST, f"{names}: the control plane is gone, and nothing else answers"
        )
    if not sight.running:
        return ClusterReport(ClusterState.STOPPED, names)
    findings = _findings(cluster, sight, ports)
    if sight.api is not None and sight.api.code not in _ABOUT_CONTEXT:
        return ClusterReport(ClusterState.STOPPED, f"{names}; {sight.api.message} {sight.api.evidence}")
    if sight.api is None and sight.unready:
        return ClusterReport(ClusterState.STOPPED, f"not ready: {', '.join(sight.unready)}")
    return ClusterReport(ClusterState.HEALTHY, names, tuple(findings))


def _foreign_words(sight: Sight) -> str:
    if sight.owner is None and not sight.running:
        start = " ".join(node.name for node in sight.nodes)
        return f"nothing here says that it is ours; if it is, its own mark can be read after: docker start {start}"
    return "made by other means than this program"


def _findings(cluster: str, sight: Sight, ports: Mapping[str, int]) -> list[Finding]:
    found: list[Finding] = []

    def note(reason: str, lines: Sequence[str] = (), **facts: str) -> None:
        evidence = Evidence("cluster", lines, reason=reason, facts={"cluster": cluster, **facts})
        if problem := problem_of(Subject.CLUSTER, evidence):
            found.append(problem)

    if sight.api is not None and sight.api.code in _ABOUT_CONTEXT:
        export = EXPORT.format(cluster=cluster)
        note(NO_CONTEXT, sight.api.evidence.splitlines(), said_by_kubectl=sight.api.message, export=export)
    if sight.owner is None:
        note(NO_NOTE, [sight.identity])
    if sight.cordoned:
        nodes, names = ", ".join(sight.cordoned), " ".join(sight.cordoned)
        note(CORDONED, nodes=nodes, uncordon=names, pods="wait" if sight.waiting else "run")
    if lost := lost_nodes(sight):
        note(NODES_LOST, count=str(lost))
    if other := other_ports(sight.nodes, ports):
        error = ports_fixed(other, ports)
        summary = "Ports are chosen when a cluster is made: name these, or delete it and install anew."
        found.append(Finding(error.code, error.message, remedy=Remedy(summary, error.hint)))
    return found


def unlike(cluster: str, nodes: Sequence[Node], options: Mapping[str, Any]) -> list[Finding]:
    """Return warnings where a cluster is not as options ask for that count when a cluster is made."""
    workers = sum(node.role == "worker" for node in nodes)
    images = sorted({node.image for node in nodes if node.is_member})
    asked = {"workers": options.get("workers"), "node-image": options.get("node_image")}
    has = {"workers": workers, "node-image": ", ".join(images)}
    remedy = Remedy(
        "It counts when a cluster is made: leave it out, or delete this one with its data and install anew.",
        f"./create-cluster.sh delete --cluster {cluster}",
        Risk.LOSES_DATA,
    )
    return [
        Finding(
            f"{name}-fixed", f"The cluster has {name} {has[name]}, not {wanted}.", remedy=remedy, warning=True
        )
        for name, wanted in asked.items()
        if wanted is not None and wanted != has[name]
    ]


def lost_nodes(sight: Sight) -> int:
    """Return how many of the nodes that were made are gone."""
    there = {node.id for node in sight.nodes}
    return len(set(sight.owner.nodes) - there) if sight.owner else 0


def nodes_lost(cluster: str, count: int) -> InstallError:
    """Return the error for a cluster some of whose nodes are gone: what was on them cannot be brought back."""
    facts = {"cluster": cluster, "count": str(count)}
    return explain(Subject.CLUSTER, Evidence("cluster", reason=NODES_LOST, facts=facts)).error()


def other_ports(nodes: Sequence[Node], ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports that the cluster has, where they are not those that are wanted."""
    bound = next((node.ports for node in nodes if node.is_control_plane), {})
    wanted = mapped_ports(ports)
    return {
        key: bound[inside][1]
        for inside, (key, here) in wanted.items()
        if inside in bound and bound[inside][1] != here
    }


def ports_fixed(other: Mapping[str, int], wanted: Mapping[str, int]) -> InstallError:
    """Return the error for a cluster with other ports than wanted: containers keep those that they were made with."""
    named = ", ".join(f"{key} {port}, not {wanted[key]}" for key, port in other.items())
    flags = " ".join(f"--port {key}={port}" for key, port in other.items())
    return InstallError(
        "ports-fixed",
        f"The cluster was made with other ports: {named}.",
        hint=f"./create-cluster.sh --resume {flags}",
    )
