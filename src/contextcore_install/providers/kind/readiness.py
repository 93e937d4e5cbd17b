"""Waits until a cluster's nodes are Ready, and repairs those that do not get there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.diagnosis.diagnose import Evidence, explain
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node, detached, shared_network
from contextcore_install.providers.kind.inspector import API_DEAD, ClusterAccess, ClusterSnapshot, Inspector, sickness
from contextcore_install.providers.kind.report import unreached
from contextcore_install.providers.kubernetes.objects import moment
from contextcore_install.system.ports import bind_problem, speaks_tls

MANAGER = "kube-controller-manager"  # the Lease in kube-system by which it leads, if it is elected


@dataclass(frozen=True, slots=True)
class ReadinessLimits:
    """How long to wait for what, in seconds."""

    ready: float = 180.0  # for all nodes to be Ready
    restart_after: float = 60.0  # until nodes that are sick are restarted
    pause: float = 0.3  # between two inspections; grows up to `longest_pause`
    longest_pause: float = 3.0
    inspect_again: float = 30.0  # between inspections, which start several programs, while the API's port is silent
    try_port: float = 1.0  # between tries of that port meanwhile
    watch: float = 30.0  # for which nodes that are not Ready are watched between two inspections
    ask_in_node: float = 5.0  # between questions to the nodes themselves, if kubectl gets no answer
    reached: float = 15.0  # for a context that was just written to work
    published: float = 15.0  # for a published port to be here: forwarding from a virtual machine takes some seconds


@dataclass(frozen=True, slots=True)
class Readiness:
    """Waits for the nodes. `rewrite_context` has kubectl's context written again; it may raise InstallError."""

    cluster: ClusterAccess
    inspector: Inspector
    rewrite_context: Callable[[ClusterSnapshot, StepContext], None]
    limits: ReadinessLimits = ReadinessLimits()
    answers: Callable[[int], bool] = speaks_tls
    bind_problem: Callable[[int], int] = bind_problem

    def wait(self, ctx: StepContext, *, until_ready: bool = True) -> ClusterSnapshot:
        """Wait until all nodes are Ready, and have said so since they were started, or only until the API answers.

        Raises `nodes-not-ready`, `api-unreached` (kubectl's configuration is at fault) and `engine-remote`.
        """
        ctx.activity("waiting until the nodes are ready" if until_ready else "waiting until the API answers")
        began = checked_health = time.monotonic()
        asked, rewritten, restarted = float("-inf"), float("inf"), set[str]()
        pauses = (min(self.limits.pause * 1.5 ** min(looks, 20), self.limits.longest_pause) for looks in count())
        while True:
            now = time.monotonic()
            snapshot = self.inspector.inspect(fresh=True, thorough=now - asked >= self.limits.ask_in_node)
            is_ready = snapshot.answers and not snapshot.unready and has_come_back(snapshot.nodes, self._renew_times)
            if is_ready or (snapshot.answers and not until_ready):
                return snapshot
            if snapshot.kubectl_error is not None and now - asked >= self.limits.ask_in_node:
                asked = now
            if snapshot.context_is_broken:
                rewritten = self._repair_context(snapshot, rewritten, ctx)
            if now - checked_health > self.limits.restart_after:
                checked_health = now
                restarted |= self._restart_sick(restarted, ctx)
            if now - began > self.limits.ready:
                raise self._not_ready(self.inspector.inspect(fresh=True))
            if snapshot.kubectl_error is not None:
                self._await_api(snapshot.api_port, ctx, next(pauses))
            elif not (snapshot.unready and self._watch_nodes(ctx)):
                ctx.wait(next(pauses))

    def _await_api(self, port: int, ctx: StepContext, pause: float) -> None:
        """Wait until a server answers at the port or it is time to inspect again; if one answers now, for a pause."""
        until = time.monotonic() + self.limits.inspect_again
        if not port or self.answers(port):
            ctx.wait(pause)  # what it says is not what kubectl wants to hear
            return
        while time.monotonic() < until:
            ctx.wait(self.limits.try_port)
            if self.answers(port):
                return

    def _require_published(self, snapshot: ClusterSnapshot, ctx: StepContext) -> None:
        """Raise `engine-remote` if the API answers in its own node, and nobody holds its port on this machine."""
        port, began = snapshot.api_port, time.monotonic()
        while port and self.bind_problem(port) == 0:
            if time.monotonic() - began > self.limits.published:
                node = snapshot.control_plane.name if snapshot.control_plane else ""
                seen = f"{node} publishes 127.0.0.1:{port}, and nothing listens there on this machine"
                endpoint = self.cluster.engine.endpoint.shown or self.cluster.engine.name
                facts = {"cluster": self.cluster.name, "endpoint": endpoint, "published": "nowhere"}
                raise explain(Subject.MACHINE, Evidence("machine", [seen], facts=facts)).error()
            ctx.wait(self.limits.try_port)

    def _repair_context(self, snapshot: ClusterSnapshot, rewritten: float, ctx: StepContext) -> float:
        """Have the context written again, once, and return when; raises `api-unreached` if it does not help."""
        self._require_published(snapshot, ctx)
        now, error = time.monotonic(), snapshot.kubectl_error
        if rewritten > now:
            self.rewrite_context(snapshot, ctx)
            return now
        if error is not None and (not error.retryable or now - rewritten > self.limits.reached):
            raise unreached(self.cluster.name, error).error()
        return rewritten

    def _watch_nodes(self, ctx: StepContext) -> bool:
        """Watch until every node is Ready, and tell whether they are: frequent inspections would slow their boot."""
        wait = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={self.limits.watch:g}s")
        return self.cluster.kubectl.attempt(*wait, ctx=ctx, timeout_s=self.limits.watch + 10).exit_code == 0

    def _restart_sick(self, restarted: Collection[str], ctx: StepContext) -> set[str]:
        """Restart nodes that are shown to be sick by themselves, never by kubectl, but once; return their names."""
        snapshot, engine, sick = self.inspector.inspect(fresh=True), self.cluster.engine, set[str]()
        if snapshot.owner is None or not snapshot.owner.complete:
            return sick
        for node in snapshot.nodes:
            if node.name in restarted:
                continue
            why = sickness(engine, node) if node.name in snapshot.unready else ""
            if snapshot.api_error is not None and snapshot.api_error.code == API_DEAD and node.is_control_plane:
                why = "its API is dead"
            if why:
                ctx.notice(f"{node.name} is sick ({why}); its container is restarted")
                engine.restart(node, ctx)
                sick.add(node.name)
        return sick

    def _renew_times(self) -> Mapping[str, str]:
        """Return when each node, and the controller manager, last renewed its Lease (every 10 s at the latest)."""
        leases = self.cluster.kubectl.items_if_readable("leases.coordination.k8s.io", "--all-namespaces")
        return {
            item.key.name: str(item.spec.get("renewTime", ""))
            for item in leases
            if item.key.namespace in {"kube-node-lease", "kube-system"}
        }

    def _not_ready(self, snapshot: ClusterSnapshot) -> InstallError:
        if snapshot.context_is_broken and snapshot.kubectl_error is not None:
            return unreached(self.cluster.name, snapshot.kubectl_error).error()
        silent = snapshot.api_error
        names = [node.name for node in snapshot.nodes if node.is_control_plane] if silent else snapshot.unready
        kubelet_log = ("journalctl", "-u", "kubelet", "--no-pager", "-n", "8", "-o", "cat")
        facts = {
            "cluster": self.cluster.name,
            "engine": self.cluster.engine.name,
            "seconds": f"{self.limits.ready:g}",
            "what": "its API does not answer" if silent else f"not ready: {', '.join(names)}",
            "node": " ".join(names),
        }
        lines = [silent.message, *silent.evidence.splitlines()] if silent else []
        lines += snapshot.unready_conditions
        with suppress(InstallError, IndexError):
            lines += self.cluster.engine.ask("exec", names[0], *kubelet_log).stdout.splitlines()
        return explain(Subject.NODE, Evidence("node", lines, facts=facts)).error()


def has_come_back(nodes: Sequence[Node], renew_times: Callable[[], Mapping[str, str]]) -> bool:
    """Tell whether nodes that were restarted have renewed their Leases since: their state from before is outdated.

    So must a controller manager that is elected, as in clusters of earlier versions: for 20 seconds, until it leads
    again, nobody counts pods or updates endpoints.
    """
    if not any(node.was_restarted for node in nodes):
        return True
    renewed = {name: moment(told) for name, told in renew_times().items()}
    manager_since = max(moment(node.started) for node in nodes if node.is_control_plane)
    return renewed.get(MANAGER, manager_since) >= manager_since and all(
        renewed.get(node.name, 0.0) >= moment(node.started) for node in nodes if node.is_member
    )


def reconnect(engine: ContainerEngine, cluster: str, snapshot: ClusterSnapshot, ctx: StepContext) -> None:
    """Connect nodes to their network again, in the order of their addresses, which they then get back.

    A node whose address has changed is restarted, as it reads it when it starts. Raises InstallError.
    """
    from ipaddress import ip_address

    network, known = shared_network(snapshot.nodes, engine.network), _addresses(snapshot)
    order = {name: int(ip_address(address)) for name, address in known.items()}
    names = sorted((node.name for node in detached(snapshot.nodes, network)), key=lambda name: order.get(name, 0))
    for name in names:
        ctx.notice(f"{name} was taken off the network {network}; it is connected again")
        engine.call("network", "connect", network, name, ctx=ctx)
    for node in engine.nodes(cluster) if names else ():
        address = (node.networks or {}).get(network, "")
        if node.name in names and node.state == "running" and known.get(node.name, address) != address:
            ctx.notice(f"{node.name} has another address than before, {address}; its container is restarted")
            engine.restart(node, ctx)


def _addresses(snapshot: ClusterSnapshot) -> dict[str, str]:
    from ipaddress import ip_address

    found = {}
    for member in snapshot.members:
        for entry in member.status.get("addresses") or []:
            with suppress(ValueError):
                if entry.get("type") == "InternalIP" and ip_address(str(entry.get("address"))).version == 4:
                    found[member.key.name] = str(entry["address"])
    return found
