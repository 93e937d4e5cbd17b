"""The stack on Kubernetes: a release and its workloads, through kubectl in one context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift, Workload
from contextcore_install.providers.kubernetes import drift
from contextcore_install.providers.kubernetes.apply import Applier, may_change_namespace
from contextcore_install.providers.kubernetes.claims import lost_claims
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.conditions import WorkloadConditions
from contextcore_install.providers.kubernetes.managed_fields import REPLICAS, decided_by
from contextcore_install.providers.kubernetes.manifests import ManifestSource
from contextcore_install.providers.kubernetes.objects import Release, resource_of
from contextcore_install.providers.kubernetes.pods import is_scaled_down
from contextcore_install.providers.kubernetes.restarts import GetImages, Restarter
from contextcore_install.providers.kubernetes.snapshot import Reader, Snapshot
from contextcore_install.providers.kubernetes.watch import WorkloadWatch


class KubernetesStack:
    """A release in a cluster. All methods may raise InstallError.

    `get_images` provides images that pods lack, and returns why it could not provide some; `image_remedy` says whether
    it could. With `reads_nodes`, the cluster is ours as a whole: its nodes are read, which may be started anew, and
    what Services lead to, which lags behind after that.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        source: ManifestSource,
        *,
        image_remedy: Callable[[str], str] = lambda _: "",
        get_images: GetImages | None = None,
        node_started: Callable[[], Mapping[str, str]] = dict,
        reads_nodes: bool = True,
    ) -> None:
        self.kubectl = kubectl
        self._source = source
        self._lock = threading.Lock()
        self._release: Release | None = None
        self._extra = ("node", "endpoints") if reads_nodes else ()
        self.reader = Reader(kubectl, self.release, self._extra)
        self._applier = Applier(kubectl, self.reader, source.cluster)
        self._restarter = Restarter(kubectl, self.reader, get_images)
        self._conditions = WorkloadConditions(
            kubectl, self.release, image_remedy, node_started, reads_endpoints=reads_nodes
        )

    def release(self) -> Release:
        """Return the release, rendered once."""
        with self._lock:
            if self._release is None:
                self._release = self._source.release()
            return self._release

    def drift(self, noted_claims: Container[str] = ()) -> Sequence[Drift]:
        """Return how the cluster differs from the release, and which claims are gone that there have been."""
        snapshot = self.reader.read()
        release = self._within_rights(snapshot)
        found = drift.drift(release, snapshot, self._source.cluster)
        return [*found, *lost_claims(release, snapshot, noted_claims)]

    def apply(self, ctx: StepContext) -> None:
        self._applier.apply(self._within_rights(self.reader.read()), ctx)

    def _within_rights(self, snapshot: Snapshot) -> Release:
        return drift.within_rights(self.release(), snapshot, lambda name: may_change_namespace(self.kubectl, name))

    def remove(self, ctx: StepContext, *, with_data: bool = False) -> None:
        self._applier.remove(self.release(), ctx, with_data=with_data)

    def start(self, ctx: StepContext) -> None:
        """Put back numbers of pods that somebody has lowered, have missing pods made, and end stuck ones."""
        snapshot, workloads = self.reader.read(fresh=True), self.release().workloads
        pairs = ((item, snapshot.get(key)) for key, item in workloads.items())
        if any(live and is_scaled_down(item, live) and not decided_by(live, REPLICAS) for item, live in pairs):
            self.apply(ctx)
            snapshot = self.reader.read(fresh=True)
        self._restarter.restart(self.release(), snapshot, ctx)

    def workloads(self) -> Sequence[Workload]:
        return self._conditions.now(self.reader.read())

    def watch(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        """Yield the conditions now and at every change."""
        kinds = {"pod", *self._extra, *map(resource_of, self.release().workloads.values())} - {"node"}
        try:
            yield from WorkloadWatch(self.kubectl, self.reader, self._conditions, sorted(kinds)).changes(ctx)
        finally:
            self.reader.forget()

    def service_ports(self) -> dict[str, tuple[str, dict[int, int]]]:
        """Return the release's Services: name -> (namespace, port -> node port or 0)."""
        return {
            key.name: (
                key.namespace,
                {int(port["port"]): int(port.get("nodePort", 0)) for port in item["spec"].get("ports", [])},
            )
            for key, item in self.release().by_key.items()
            if key.kind == "Service"
        }
