"""Brings a cluster of ours to healthy from wherever it is. Only one process at a time creates with kind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from contextcore_install.core.cancellation import child_context
from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import own
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import ClusterState
from contextcore_install.diagnosis.failures import kind_failure
from contextcore_install.providers.kind.config import as_text, cluster_config, mapped_ports
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.inside import Inside
from contextcore_install.providers.kind.inspector import ClusterSnapshot, Inspector
from contextcore_install.providers.kind.network import reconnect
from contextcore_install.providers.kind.owner import OwnerFile
from contextcore_install.providers.kind.readiness import Readiness
from contextcore_install.providers.kind.report import (
    EXPORT,
    lost_nodes,
    nodes_lost,
    other_ports,
    ports_fixed,
    refusal,
    report_of,
    unreached,
)
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.system import process
from contextcore_install.system.files import write_atomically
from contextcore_install.system.lock import acquire
from contextcore_install.system.supervisor import StartOptions

#: Seconds for kind to make a cluster, and to remove one.
CREATE_S, REMOVE_S = 900.0, 120.0
#: What a complete cluster has, made last by kind before workers join.
STORAGE = ("get", "storageclass", "-o", "name")
#: Seconds between two tries to take the lock.
LOCK_TRIES_S = 0.5
#: Tries to ask for it, a second apart: an API that fails once has not lost it.
STORAGE_TRIES = 3
#: What kind says when its nodes run and their container runtime is up.
_NODES_RUN = "Starting control-plane"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a cluster is to be made with."""

    cluster: str
    ports: Mapping[str, int]
    node_image: str
    workers: int
    images: Callable[[], Sequence[str]]


class Creation:
    """Creates, starts, mends and removes."""

    def __init__(
        self,
        wish: ClusterSpec,
        folder: Path,
        lock: Path,
        kind: Callable[[], str],
        engine: ContainerEngine,
        kubectl: Kubectl,
        look: Inspector,
        owners: OwnerFile,
        images: Images,
    ) -> None:
        self._wish = wish
        self._folder = folder
        self._lock = lock
        self._kind = kind
        self._engine = engine
        self._kubectl = kubectl
        self._look = look
        self._owners = owners
        self._images = images
        self._readiness = Readiness(wish.cluster, engine, kubectl, look, Inside(engine), self._lead_back)
        self._was_ready = False

    def bring_up(self, ctx: StepContext) -> None:
        """Bring the cluster to healthy, and look at it last. Raises InstallError; repeating it is safe."""
        with _lock(self._lock, ctx) as lock:
            sight = self._look.see(fresh=True)
            report = report_of(self._wish.cluster, sight, self._wish.ports)
            if report.state is ClusterState.FOREIGN:
                raise InstallError(
                    "cluster-foreign",
                    f"There is a cluster {self._wish.cluster} that this program did not make; it is left alone.",
                    report.evidence,
                    "choose another name with --cluster NAME",
                )
            if report.state is ClusterState.LOST:
                raise InstallError(
                    "control-plane-lost",
                    f"The control plane of {self._wish.cluster} is gone: what its other nodes hold cannot be saved.",
                    report.evidence,
                    own("delete", "--cluster", self._wish.cluster),
                )
            if report.state is ClusterState.PARTIAL and self._was_ready:
                self._finish(sight)
            elif report.state is ClusterState.PARTIAL and not self._turns_out_whole(sight, ctx):
                ctx.notice("what is left of a creation that was cut off is removed")
                self._delete(ctx)
                sight = ClusterSnapshot((), None, ours=True)
            if not sight.nodes:
                self._create(ctx, lock)
            else:
                self._mend(sight, ctx)

    def remove(self, ctx: StepContext) -> None:
        """Remove the cluster, if it is ours. Raises InstallError."""
        with _lock(self._lock, ctx):
            sight = self._look.see(fresh=True)
            if not sight.nodes:
                with suppress(InstallError):  # what is left is in kubectl's configuration; no matter where kind is gone
                    self._delete(ctx)
                self._owners.forget()
                return
            if not sight.ours:
                raise InstallError(
                    "cluster-foreign",
                    f"The cluster {self._wish.cluster} was not made by this program; it is left alone.",
                    ", ".join(node.name for node in sight.nodes),
                    f"kind delete cluster --name {self._wish.cluster}",
                )
            self._delete(ctx)

    # Making

    def _create(self, ctx: StepContext, lock: int) -> None:
        """Make the cluster, and get its images meanwhile: pulled, and loaded into the nodes as soon as these run.

        If the cluster fails, its images are not waited for: why it failed is what matters then. An image that cannot be
        had fails nothing here: the nodes may be able to pull it, and whoever waits for the pods tells what they cannot.
        """
        nodes_run = threading.Event()
        with ThreadPoolExecutor(1) as pool, child_context(ctx) as aside:
            provided = pool.submit(self._images.provide_beside, self._wish.images, nodes_run, aside)
            with ctx.part("cluster"):
                self._run_kind(ctx, lock, nodes_run.set)
                sight = self._readiness.wait(ctx)
                self._was_ready = True
                self._finish(sight)
            nodes_run.set()
            provided.result()

    def _run_kind(self, ctx: StepContext, lock: int, nodes_run: Callable[[], None]) -> None:
        wish = self._wish
        ports = [here for _, here in mapped_ports(wish.ports).values()]
        network = not self._engine.has_network()
        owner = self._owners.begin(ports, self._engine.name, makes_network=network)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "kind.json"
        config = cluster_config(wish.cluster, owner.id, wish.ports, wish.node_image, wish.workers)
        write_atomically(path, as_text(config))

        def hear(line: str) -> None:
            text = line.strip(" •✓✗").strip()
            if line.lstrip().startswith(("•", "✓")) and text:
                ctx.activity(text)
            if _NODES_RUN in line:
                nodes_run()

        # --retain: the node that failed holds the reason. Whether nodes get Ready is seen to later, as kind ends
        # with exit code 0 when it has waited in vain.
        argv = [self._kind(), "create", "cluster", "--name", wish.cluster, "--config", str(path), "--retain"]
        environ, options = self._engine.environ, StartOptions(keep=(lock,))
        done = process.run(argv, ctx, environ=environ, timeout_s=CREATE_S, check=False, hear=hear, options=options)
        if done.exit_code != 0:
            raise kind_failure(process.failure(done), done.lines, self._facts(done.lines))

    def _facts(self, lines: Sequence[str] = ()) -> dict[str, str]:
        """Return what the sentences about a failure of kind need to know; its output may name a port."""
        named = (key for key, port in self._wish.ports.items() if any(f":{port} " in f"{line} " for line in lines))
        return {
            **self._engine.facts(),
            "node_image": self._wish.node_image,
            "control_plane": f"{self._wish.cluster}-control-plane",
            "port_key": next(named, "COMPONENT"),
        }

    def _finish(self, sight: ClusterSnapshot) -> None:
        """Note that the cluster is whole."""
        owner = sight.owner or self._owners.adopt(sight.identity, sight.nodes, self._engine.name)
        self._owners.finish(owner, sight.nodes)

    def _turns_out_whole(self, sight: ClusterSnapshot, ctx: StepContext) -> bool:
        """Tell whether a creation that was cut off had done all there was to do: then nothing has to be made again."""
        if sight.owner is None or not sight.running or len(sight.nodes) != 1 + self._wish.workers:
            return False
        if sight.misled:
            self._lead_back(sight, ctx)
        try:
            if not self._storage(ctx):
                return False
            whole = self._readiness.wait(ctx)
        except InstallError as error:
            ctx.output(f"not whole: {error.message} {error.evidence}")
            return False
        self._was_ready = True
        self._finish(whole)
        ctx.notice("the creation that was cut off had made the cluster whole; it is used")
        return True

    def _storage(self, ctx: StepContext) -> str:
        """Return the names of the storage classes. Raises InstallError."""
        for _ in range(STORAGE_TRIES - 1):
            with suppress(InstallError):
                return self._kubectl.call(*STORAGE, ctx=ctx).strip()
            ctx.wait(1)
        return self._kubectl.call(*STORAGE, ctx=ctx).strip()

    # Mending

    def _mend(self, sight: ClusterSnapshot, ctx: StepContext) -> None:
        if other := other_ports(sight.nodes, self._wish.ports):
            raise ports_fixed(other, self._wish.ports)
        if sight.owner is None:
            self._owners.adopt(sight.identity, sight.nodes, self._engine.name)
        else:
            self._owners.seen_in(sight.owner, self._engine.name)
        if refused := refusal(self._wish.cluster, sight, self._engine.name):
            raise refused
        reconnect(self._engine, self._wish.cluster, sight, ctx)
        self._start(sight.nodes, ctx)
        if lost := lost_nodes(sight):  # once the others run: what they hold can be saved then
            raise nodes_lost(self._wish.cluster, lost)
        sight = self._readiness.wait(ctx)
        if sight.cordoned and sight.waiting:
            ctx.notice(f"{', '.join(sight.cordoned)} takes pods again, as some have no other place")
            self._kubectl.call("uncordon", *sight.cordoned, ctx=ctx)
            self._look.see(fresh=True)

    def _start(self, nodes: Sequence[Node], ctx: StepContext) -> None:
        """Start the containers that do not run; the control plane comes first in the list."""
        for node in nodes:
            if node.state != "running":
                ctx.activity(f"starting {node.name}")
                try:
                    self._engine.start(node, ctx)
                except InstallError as error:
                    raise kind_failure(error, error.evidence.splitlines(), self._facts()) from error

    def _lead_back(self, sight: ClusterSnapshot, ctx: StepContext) -> None:
        """Have kind write kubectl's context again. Raises InstallError; no file that kind cannot read is touched."""
        if sight.api is not None and sight.api.code == "kubeconfig-unreadable":
            raise unreached(self._wish.cluster, sight.api)
        why = sight.api.message if sight.api else ""
        ctx.notice(f"the context kind-{self._wish.cluster} is written again, as the API answers in its node: {why}")
        done = process.run(
            [self._kind(), *EXPORT.format(cluster=self._wish.cluster).split()[1:]],
            ctx, environ=self._engine.environ, timeout_s=60, check=False,
        )  # fmt: skip
        if done.exit_code != 0:
            raise kind_failure(process.failure(done), done.lines, self._facts())

    # Removing

    def _delete(self, ctx: StepContext) -> None:
        ctx.activity(f"removing the cluster {self._wish.cluster}")
        owner = self._owners.read()
        process.run(
            [self._kind(), "delete", "cluster", "--name", self._wish.cluster],
            ctx, environ=self._engine.environ, timeout_s=REMOVE_S,
        )  # fmt: skip
        left = self._engine.nodes(self._wish.cluster)
        if left:
            raise InstallError(
                "cluster-not-removed",
                f"Containers of the cluster {self._wish.cluster} are still there.",
                ", ".join(node.name for node in left),
                f"{self._engine.name} rm -f {' '.join(node.name for node in left)}",
                retryable=True,
            )
        if owner is not None and owner.made_network:
            self._engine.remove_unused_network()
        self._owners.forget()


@contextmanager
def _lock(path: Path, ctx: StepContext) -> Iterator[int]:
    """Hold the lock on kind, and give its descriptor: a kind that inherits it, and outlives us, holds it until it ends.

    Raises InstallError `folder-unwritable`, and CancelledError.
    """

    def wait() -> None:
        ctx.activity("waiting for another creation with kind to end")
        ctx.wait(LOCK_TRIES_S)

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = acquire(path, wait)
    except OSError as error:
        hint = f"ls -ld {quote(str(path.parent))}"
        raise InstallError("folder-unwritable", f"{path} cannot be written: {error.strerror}.", hint=hint) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
