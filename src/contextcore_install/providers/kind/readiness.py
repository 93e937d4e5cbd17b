"""Waits until a cluster's nodes are Ready, and helps one that does not get so."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.diagnose import explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.comeback import has_come_back
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.inside import API_DEAD, Inside
from contextcore_install.providers.kind.inspector import ClusterSnapshot, Inspector, conditions_of
from contextcore_install.providers.kind.report import unreached
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.system.ports import bind_problem, speaks_tls

API_PORT = 6443
"""The API server's port inside the control plane's container."""


@dataclass(frozen=True, slots=True)
class ReadinessLimits:
    """How long to wait for what, in seconds.

    Nodes must be Ready within `ready`; those that are sick after `restart_after` are restarted. The pause between two
    looks grows from `look` to `longest_look`, and a node that is not Ready is watched for `watch` in between. While
    nothing answers at the API server's port, that is tried every `try_port`, and the cluster is looked at every
    `look_anew` only: a look starts several programs. If kubectl gets no answer, the nodes themselves are asked every
    `ask_inside`. `reached` is how long a context that was just written may take, and `published` how long a port that
    a container publishes may be missing here: the forwarding of a virtual machine follows within seconds.
    """

    ready: float = 180.0
    restart_after: float = 60.0
    look: float = 0.3
    longest_look: float = 3.0
    look_anew: float = 30.0
    try_port: float = 1.0
    watch: float = 30.0
    ask_inside: float = 5.0
    reached: float = 15.0
    published: float = 15.0


LIMITS = ReadinessLimits()


@dataclass(frozen=True, slots=True)
class Door:
    """The API server's port as this machine sees it: whether nobody holds it, and whether a server answers there."""

    unheld: Callable[[int], bool] = lambda port: bind_problem(port) == 0
    answers: Callable[[int], bool] = speaks_tls


DOOR = Door()


class Readiness:
    """Knows when the nodes are there. `lead_back` writes kubectl's context again; it may raise InstallError."""

    def __init__(
        self,
        cluster: str,
        engine: ContainerEngine,
        kubectl: Kubectl,
        look: Inspector,
        inside: Inside,
        lead_back: Callable[[ClusterSnapshot, StepContext], None],
        limits: ReadinessLimits = LIMITS,
        door: Door = DOOR,
    ) -> None:
        self._cluster = cluster
        self._engine = engine
        self._kubectl = kubectl
        self._look = look
        self._inside = inside
        self._lead_back = lead_back
        self._limits = limits
        self._door = door

    def wait(self, ctx: StepContext) -> ClusterSnapshot:
        """Wait until all nodes are Ready and have said so since they were started.

        Raises `nodes-not-ready`; `api-unreached` as soon as only kubectl's configuration is at fault; `engine-remote`
        if what the control plane publishes is not on this machine.
        """
        ctx.activity("waiting until the nodes are ready")
        began = looked_at_health = time.monotonic()
        asked, led, restarted, pauses = float("-inf"), float("inf"), set[str](), self._pauses()
        while True:
            now = time.monotonic()
            sight = self._look.see(fresh=True, thorough=now - asked >= self._limits.ask_inside)
            if _is_told(sight) and has_come_back(sight.nodes, self._renewed):
                return sight
            if sight.api is not None and now - asked >= self._limits.ask_inside:
                asked = now
            if sight.misled:
                led = self._lead(sight, led, ctx)
            if now - looked_at_health > self._limits.restart_after:
                looked_at_health = now
                restarted |= self._restart_sick(restarted, ctx)
            if now - began > self._limits.ready:
                raise self._not_ready(self._look.see(fresh=True))
            if sight.api is not None:
                self._await_api(_api_port(sight), ctx, next(pauses))
            elif not (sight.unready and self._get_ready(ctx)):
                ctx.wait(next(pauses))

    def _pauses(self) -> Iterator[float]:
        pause = self._limits.look
        while True:
            yield pause
            pause = min(pause * 1.5, self._limits.longest_look)

    def _await_api(self, port: int, ctx: StepContext, pause: float) -> None:
        """Wait until a server answers at a port, or it is time to look at the containers; for a pause if one does."""
        until = time.monotonic() + self._limits.look_anew
        if not port or self._door.answers(port):
            ctx.wait(pause)  # what it says is not what kubectl wants to hear
            return
        while time.monotonic() < until:
            ctx.wait(self._limits.try_port)
            if self._door.answers(port):
                return

    def _require_published(self, sight: ClusterSnapshot, ctx: StepContext) -> None:
        """Raise `engine-remote` if the API answers in its own node, and nobody holds its port on this machine."""
        port, began = _api_port(sight), time.monotonic()
        while port and self._door.unheld(port):
            if time.monotonic() - began > self._limits.published:
                raise self._unpublished(sight, port)
            ctx.wait(self._limits.try_port)

    def _unpublished(self, sight: ClusterSnapshot, port: int) -> InstallError:
        node = next(node.name for node in sight.nodes if node.is_control_plane)
        seen = f"{node} publishes 127.0.0.1:{port}, and nothing listens there on this machine"
        facts = {
            "cluster": self._cluster,
            "endpoint": self._engine.endpoint.shown or self._engine.name,
            "published": "nowhere",
        }
        return explain(Subject.MACHINE, Evidence("machine", [seen], facts=facts)).error()

    def _lead(self, sight: ClusterSnapshot, led: float, ctx: StepContext) -> float:
        """Have the context written again, once, and return when that was; raises `api-unreached` if it is no help."""
        self._require_published(sight, ctx)
        now = time.monotonic()
        if led > now:
            self._lead_back(sight, ctx)
            return now
        if sight.api is not None and (not sight.api.retryable or now - led > self._limits.reached):
            raise unreached(self._cluster, sight.api)
        return led

    def _get_ready(self, ctx: StepContext) -> bool:
        """Watch until every node is Ready, and tell whether they are: looking all the time would slow their boot."""
        wait = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={self._limits.watch:g}s")
        return self._kubectl.attempt(*wait, ctx=ctx, timeout_s=self._limits.watch + 10).exit_code == 0

    def _restart_sick(self, restarted: Collection[str], ctx: StepContext) -> set[str]:
        """Restart the containers of nodes that are sick, and return their names; those given were restarted before."""
        sight = self._look.see(fresh=True)
        if sight.owner is None or not sight.owner.complete:
            return set()
        sick = {name: why for name, why in self._sick(sight).items() if name not in restarted}
        for node in sight.nodes:
            if node.name in sick:
                ctx.notice(f"{node.name} is sick ({sick[node.name]}); its container is restarted")
                self._engine.restart(node, ctx)
        return set(sick)

    def _sick(self, sight: ClusterSnapshot) -> dict[str, str]:
        """Return what shows nodes to be sick: they themselves, never what kubectl says here."""
        if sight.silent is not None:
            dead = sight.silent.code == API_DEAD
            return {node.name: "its API is dead" for node in sight.nodes if dead and node.is_control_plane}
        found = {node.name: self._inside.sickness(node) for node in sight.nodes if node.name in sight.unready}
        return {name: why for name, why in found.items() if why}

    def _renewed(self) -> Mapping[str, str]:
        """Return when each node, and what manages them, last said that it lives (by Leases, renewed within 10 s)."""
        try:
            leases = self._kubectl.items("leases.coordination.k8s.io", "--all-namespaces")
        except InstallError:
            return {}
        return {
            item["metadata"]["name"]: str(item.get("spec", {}).get("renewTime", ""))
            for item in leases
            if item["metadata"].get("namespace") in {"kube-node-lease", "kube-system"}
        }

    def _not_ready(self, sight: ClusterSnapshot) -> InstallError:
        if sight.misled and sight.api is not None:
            return unreached(self._cluster, sight.api)
        silent = sight.silent
        names = [node.name for node in sight.nodes if node.is_control_plane] if silent else sight.unready
        facts = {
            "cluster": self._cluster,
            "engine": self._engine.name,
            "seconds": f"{self._limits.ready:g}",
            "what": "its API does not answer" if silent else f"not ready: {', '.join(names)}",
            "node": " ".join(names),
        }
        api = f"{silent.message}\n{silent.evidence}" if silent else ""
        lines = [*api.splitlines(), *conditions_of(sight), *self._kubelet(names).splitlines()]
        return explain(Subject.NODE, Evidence("node", lines, facts=facts)).error()

    def _kubelet(self, names: Sequence[str]) -> str:
        """Return the end of what the kubelet of the first of these nodes logs."""
        said = ("journalctl", "-u", "kubelet", "--no-pager", "-n", "8", "-o", "cat")
        with suppress(InstallError):
            return self._engine.ask("exec", names[0], *said).stdout if names else ""
        return ""


def _api_port(sight: ClusterSnapshot) -> int:
    """Return the port of this machine that leads to the API server; 0 where it is not known."""
    return next((node.ports.get(API_PORT, ("", 0))[1] for node in sight.nodes if node.is_control_plane), 0)


def _is_told(sight: ClusterSnapshot) -> bool:
    return bool(sight.nodes) and sight.running and sight.api is None and not sight.unready
