"""Brings a cluster of ours to healthy from wherever it is. Only one process at a time creates with kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ClusterState
from contextcore_install.diagnosis import reasons
from contextcore_install.diagnosis.failures import kind_failure
from contextcore_install.providers.kind import report
from contextcore_install.providers.kind.cluster import ClusterSpec, cluster_config, mapped_ports
from contextcore_install.providers.kind.delivery import Delivery
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.inspector import ClusterAccess, ClusterSnapshot, Inspector
from contextcore_install.providers.kind.readiness import Readiness, reconnect
from contextcore_install.system import process
from contextcore_install.system.files import write_atomically
from contextcore_install.system.lock import held
from contextcore_install.system.supervisor import StartOptions

#: Seconds for kind to make a cluster, to remove one, and to write a context; and between two tries to take the lock.
CREATE_S, REMOVE_S, EXPORT_S, LOCK_TRIES_S = 900.0, 120.0, 60.0, 0.5
STORAGE_TRIES = 3  # tries to ask for the storage class, a second apart: an API that fails once has not lost it
_NODES_RUN = "Writing configuration"  # kind prints it when the containers of its nodes run


@dataclass
class Creation:
    """Creates, starts, repairs and removes. `kind` returns where that program is; it may raise InstallError."""

    cluster: ClusterAccess
    spec: ClusterSpec
    folder: Path
    lock: Path
    kind: Callable[[], str]
    inspector: Inspector
    images: Images
    delivery: Delivery | None = field(default=None, init=False)
    _was_ready: bool = field(default=False, init=False)

    @property
    def _readiness(self) -> Readiness:
        return Readiness(self.cluster, self.inspector, self._rewrite_context)

    def await_nodes(self, ctx: StepContext) -> bool:
        """Wait for the nodes of a cluster that was just made, as `bring_up` ends when its API answers; tell whether."""
        waits = bool(self.inspector.inspect().unready)
        if waits:
            self._readiness.wait(ctx)
        return waits

    def bring_up(self, ctx: StepContext) -> None:
        """Bring the cluster to healthy, its nodes ready or at their first start. Raises InstallError."""
        name = self.cluster.name
        with _hold(self.lock, ctx) as lock:
            snapshot = self.inspector.inspect(fresh=True)
            found = report.report_of(name, snapshot, self.spec.ports)
            if found.state is ClusterState.FOREIGN:
                raise report.explained(reasons.FOREIGN, found.evidence, cluster=name).error()
            if found.state is ClusterState.LOST:
                raise report.explained(reasons.LOST, found.evidence, cluster=name).error()
            if found.state is ClusterState.PARTIAL and self._was_ready:
                self._note_whole(snapshot)
            elif found.state is ClusterState.PARTIAL and not self._turns_out_whole(snapshot, ctx):
                ctx.notice("what is left of a creation that was cut off is removed")
                self._delete(ctx)
                snapshot = ClusterSnapshot((), None, ours=True)
            if snapshot.nodes:
                self._repair(snapshot, ctx)
            else:
                self._create(ctx, lock)

    def remove(self, ctx: StepContext) -> None:
        """Remove the cluster, if it is ours. Raises InstallError."""
        with _hold(self.lock, ctx):
            snapshot = self.inspector.inspect(fresh=True)
            if not snapshot.nodes:
                with suppress(InstallError):  # only kubectl's configuration can be left, and kind may be gone
                    self._delete(ctx)
                self.cluster.owners.forget()
            elif snapshot.ours:
                self._delete(ctx)
            else:
                nodes = ", ".join(node.name for node in snapshot.nodes)
                raise report.explained(reasons.NOT_OURS, nodes, cluster=self.cluster.name).error()

    def _create(self, ctx: StepContext, lock: int) -> None:
        """Make the cluster, until its API answers; its images are on their way meanwhile, and after that."""
        if self.images.bundle:
            self.images.bundle.load(self.spec.node_image, self.cluster.engine, ctx)
        self.delivery = delivery = Delivery(self.images, self.spec.images, ctx)
        try:
            with ctx.part("cluster"):
                self._run_kind(ctx, lock, delivery.nodes_run)
                self._note_whole(self._readiness.wait(ctx, until_ready=False))
        except BaseException:
            delivery.end("there is no cluster for them")
            raise
        delivery.nodes_run()

    def _run_kind(self, ctx: StepContext, lock: int, nodes_run: Callable[[], None]) -> None:
        spec, engine = self.spec, self.cluster.engine
        ports = [here for _, here in mapped_ports(spec.ports).values()]
        owner = self.cluster.owners.begin(ports, engine.name, makes_network=not engine.has_network())
        config = cluster_config(self.cluster.name, owner.id, spec.ports, spec.node_image, spec.workers)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / "kind.json"  # JSON is YAML, too
        write_atomically(path, json.dumps(config, indent=1) + "\n")

        def hear(line: str) -> None:
            text = line.strip(" •✓✗").strip()
            if line.lstrip().startswith(("•", "✓")) and text:
                ctx.activity(text)
            if _NODES_RUN in line:
                nodes_run()

        # --retain: the node that failed holds the reason. Whether nodes get Ready is seen to later, as kind ends
        # with exit code 0 when it has waited in vain.
        create = ["create", "cluster", "--name", self.cluster.name, "--config", str(path), "--retain"]
        self._call_kind(create, ctx, CREATE_S, hear=hear, options=StartOptions(keep=(lock,)))

    def _call_kind(
        self, arguments: Sequence[str], ctx: StepContext, timeout_s: float, *, retryable: bool = False, **more: Any
    ) -> None:
        """Run kind; raises the InstallError for one that failed, whose output may name a port."""
        argv, environ = [self.kind(), *arguments], self.cluster.engine.environ
        done = process.run(argv, ctx, environ=environ, timeout_s=timeout_s, check=False, **more)
        if done.exit_code != 0:
            error = kind_failure(process.failure(done), done.lines, self._facts(done.lines))
            raise replace(error, retryable=retryable or error.retryable)

    def _facts(self, lines: Sequence[str] = ()) -> dict[str, str]:
        named = (key for key, port in self.spec.ports.items() if any(f":{port} " in f"{line} " for line in lines))
        return {
            **self.cluster.engine.facts(),
            "node_image": self.spec.node_image,
            "control_plane": f"{self.cluster.name}-control-plane",
            "port_key": next(named, "COMPONENT"),
        }

    def _note_whole(self, snapshot: ClusterSnapshot) -> None:
        self._was_ready = True
        owners = self.cluster.owners
        owner = snapshot.owner or owners.adopt(snapshot.identity, snapshot.nodes, self.cluster.engine.name)
        owners.finish(owner, snapshot.nodes)

    def _turns_out_whole(self, snapshot: ClusterSnapshot, ctx: StepContext) -> bool:
        """Tell whether a creation that was cut off had done all there was to do: then nothing has to be made again."""
        if snapshot.owner is None or not snapshot.running or len(snapshot.nodes) != 1 + self.spec.workers:
            return False
        if snapshot.context_is_broken:
            self._rewrite_context(snapshot, ctx)
        try:
            if not self._storage_classes(ctx):
                return False
            whole = self._readiness.wait(ctx)
        except InstallError as error:
            ctx.output(f"not whole: {error.message} {error.evidence}")
            return False
        self._note_whole(whole)
        ctx.notice("the creation that was cut off had made the cluster whole; it is used")
        return True

    def _storage_classes(self, ctx: StepContext) -> str:
        """Return the names of the storage classes, which kind makes last before workers join. Raises InstallError."""
        arguments = ("get", "storageclass", "-o", "name")
        for _ in range(STORAGE_TRIES - 1):
            with suppress(InstallError):
                return self.cluster.kubectl.call(*arguments, ctx=ctx).strip()
            ctx.wait(1)
        return self.cluster.kubectl.call(*arguments, ctx=ctx).strip()

    def _repair(self, snapshot: ClusterSnapshot, ctx: StepContext) -> None:
        name, engine, owners = self.cluster.name, self.cluster.engine, self.cluster.owners
        if other := report.other_ports(snapshot.nodes, self.spec.ports):
            raise report.ports_fixed(other, self.spec.ports).error()
        if snapshot.owner is None:
            owners.adopt(snapshot.identity, snapshot.nodes, engine.name)
        if refused := report.refusal(name, snapshot, engine.name):
            raise refused
        reconnect(engine, name, snapshot, ctx)
        for node in snapshot.nodes:  # the control plane comes first
            if node.state != "running":
                ctx.activity(f"starting {node.name}")
                try:
                    engine.start(node, ctx)
                except InstallError as error:
                    raise kind_failure(error, error.evidence.splitlines(), self._facts()) from error
        if snapshot.lost_count:  # once the others run: what they hold can be saved then
            raise report.explained(reasons.NODES_LOST, cluster=name, count=str(snapshot.lost_count)).error()
        snapshot = self._readiness.wait(ctx)
        if snapshot.cordoned and snapshot.waiting:
            ctx.notice(f"{', '.join(snapshot.cordoned)} takes pods again, as some have no other place")
            self.cluster.kubectl.call("uncordon", *snapshot.cordoned, ctx=ctx)
            self.inspector.inspect(fresh=True)

    def _rewrite_context(self, snapshot: ClusterSnapshot, ctx: StepContext) -> None:
        """Have kind write kubectl's context again. Raises InstallError; no file that kind cannot read is touched."""
        name, error = self.cluster.name, snapshot.kubectl_error
        if error is not None and error.code == "kubeconfig-unreadable":
            raise report.unreached(name, error).error()
        why = error.message if error else ""
        ctx.notice(f"the context kind-{name} is written again, as the API answers in its node: {why}")
        self._call_kind(report.EXPORT.format(cluster=name).split()[1:], ctx, EXPORT_S)

    def _delete(self, ctx: StepContext) -> None:
        name, engine, owner = self.cluster.name, self.cluster.engine, self.cluster.owners.read()
        ctx.activity(f"removing the cluster {name}")
        # Whatever it failed of, as a lock of kubectl's contexts, may have passed: what is left is removed then.
        self._call_kind(["delete", "cluster", "--name", name], ctx, REMOVE_S, retryable=True)
        if left := [node.name for node in engine.nodes(name)]:
            message = f"Containers of the cluster {name} are still there."
            hint = f"{engine.name} rm -f {' '.join(left)}"
            raise InstallError("cluster-not-removed", message, ", ".join(left), hint, retryable=True)
        if owner is not None and owner.made_network:
            engine.remove_unused_network()
        self.cluster.owners.forget()


def _hold(path: Path, ctx: StepContext) -> AbstractContextManager[int]:
    """Hold the lock on kind; raises InstallError and CancelledError."""

    def wait() -> None:
        ctx.activity("waiting for another creation with kind to end")
        ctx.wait(LOCK_TRIES_S)

    return held(path, wait)
