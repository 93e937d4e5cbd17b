"""The stack on Kubernetes, as both providers run it: the release and its workloads, through kubectl."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift, Workload
from contextcore_install.diagnosis import reasons
from contextcore_install.providers.kubernetes import releases
from contextcore_install.providers.kubernetes.claims import StorageClasses, made_too_early, remove_empty, waiting_for
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.conditions import WORKLOAD_KINDS, WorkloadConditions
from contextcore_install.providers.kubernetes.keeping import lost_claims
from contextcore_install.providers.kubernetes.namespaces import may_change
from contextcore_install.providers.kubernetes.objects import is_ready, key_of, resource_of
from contextcore_install.providers.kubernetes.owners import REPLICAS, decided_by
from contextcore_install.providers.kubernetes.podless import is_scaled_down, nudge
from contextcore_install.providers.kubernetes.pods import read_pod
from contextcore_install.providers.kubernetes.releases import Applier
from contextcore_install.providers.kubernetes.render import ManifestSource, Release
from contextcore_install.providers.kubernetes.snapshot import Reader, Snapshot
from contextcore_install.providers.kubernetes.starting import end_pod, end_unstarted, getting_nowhere
from contextcore_install.providers.kubernetes.watching import WorkloadWatch


class KubernetesStack:
    """A release in a cluster.

    `get_images` provides images that pods lack, and returns why it could not provide some; `image_remedy` says whether
    it could.

    With `reads_nodes`, the cluster is ours as a whole: its nodes are read, which may be started anew, and what Services
    lead to, which lags behind after that.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        source: ManifestSource,
        *,
        image_remedy: Callable[[str], str] = lambda _: "",
        get_images: Callable[[Sequence[str], StepContext], Mapping[str, InstallError]] | None = None,
        node_started: Callable[[], Mapping[str, str]] = dict,
        reads_nodes: bool = True,
    ) -> None:
        self.kubectl = kubectl
        self._source = source
        self._get_images = get_images
        self._lock = threading.Lock()
        self._release: Release | None = None
        self._restarted: set[tuple[str, str]] = set()
        self._extra = ("node", "endpoints") if reads_nodes else ()
        self.reader = Reader(kubectl, self.release, self._extra)
        self._classes = StorageClasses(kubectl)
        self._applier = Applier(kubectl, self.reader, source.cluster)
        self._conditions = WorkloadConditions(
            kubectl, self.release, image_remedy, node_started, reads_endpoints=reads_nodes
        )

    def release(self) -> Release:
        """Return the release, rendered once. Raises InstallError."""
        with self._lock:
            if self._release is None:
                self._release = self._source.release()
            return self._release

    def drift(self, claims: Container[str] = ()) -> Sequence[Drift]:
        """Return how the cluster differs from the release; `claims` are those known before. Raises InstallError."""
        snapshot = self.reader.read()
        release = self._within_rights(snapshot)
        return [*releases.drift(release, snapshot, self._source.cluster), *lost_claims(release, snapshot, claims)]

    def apply(self, ctx: StepContext) -> None:
        """Put the release in place. Raises InstallError."""
        self._applier.apply(self._within_rights(self.reader.read()), ctx)

    def _within_rights(self, snapshot: Snapshot) -> Release:
        return releases.within_rights(self.release(), snapshot, lambda name: may_change(self.kubectl, name))

    def remove(self, ctx: StepContext, *, with_data: bool = False) -> None:
        """Take the release away. Raises InstallError."""
        self._applier.remove(self.release(), ctx, with_data=with_data)

    def start(self, ctx: StepContext) -> None:
        """Scale up what was scaled down, have pods made that are lacking, and end those that get nowhere.

        A pod is ended once for each cause; Kubernetes makes it anew at once. Raises InstallError, also where an image
        cannot be had; pods that lack others are started anew before that.
        """
        snapshot = self._scaled_up(ctx)
        live = [found for item in self._workloads() if (found := snapshot.get(key_of(item)))]
        if self._make_claims_anew(snapshot, ctx):
            snapshot = self.reader.read(fresh=True)
        pods, claims = snapshot.of_kind("Pod"), snapshot.of_kind("PersistentVolumeClaim")
        stuck = [found for item in live for found in getting_nowhere(item, pods, claims, time.time())]
        for item in live:
            nudge(self.kubectl, item, pods, ctx)
        lacking = [pod.image for pod, _ in stuck if pod.reason in reasons.IMAGE]
        refused: Mapping[str, InstallError] = {}
        if lacking and self._get_images is not None:
            refused = self._get_images(list(dict.fromkeys(lacking)), ctx)
        ready = {node["metadata"]["name"] for node in snapshot.of_kind("Node") if is_ready(node)}
        for pod, why in stuck:
            still_lacks = pod.reason in reasons.IMAGE and pod.image in refused
            if (pod.uid, why) not in self._restarted and not still_lacks:
                self._restarted.add((pod.uid, why))
                ctx.notice(f"{pod.name} {why}; it is started anew, without waiting for its next turn")
                if pod.node not in ready or not end_unstarted(self.kubectl, pod, ctx):
                    end_pod(self.kubectl, pod, ctx)
        self.reader.forget()
        for error in refused.values():
            raise replace(error, retryable=False)  # to load it once more heals nothing

    def _workloads(self) -> list[dict[str, Any]]:
        return [item for item in self.release().objects if item["kind"] in WORKLOAD_KINDS]

    def _scaled_up(self, ctx: StepContext) -> Snapshot:
        """Put back numbers of pods that somebody has changed since the release was applied; return what is there."""
        snapshot = self.reader.read(fresh=True)
        pairs = ((item, snapshot.get(key_of(item))) for item in self._workloads())
        if any(live and is_scaled_down(item, live) and not decided_by(live, REPLICAS) for item, live in pairs):
            self.apply(ctx)
            return self.reader.read(fresh=True)
        return snapshot

    def _make_claims_anew(self, snapshot: Snapshot, ctx: StepContext) -> bool:
        """Delete, with their pods, the claims that never had a volume and get one if they are made now."""
        early = list(made_too_early(self.release(), snapshot, self._classes))
        for claim, default in early:
            name = key_of(claim).name
            ctx.notice(f"{name} is made anew, as the storage class {default} came after it; it never held anything")
            remove_empty(self.kubectl, claim, ctx)
            for pod in waiting_for(snapshot.of_kind("Pod"), claim):
                end_pod(self.kubectl, read_pod(pod), ctx)
        return bool(early)

    def workloads(self) -> Sequence[Workload]:
        """Return each workload's condition now. Raises InstallError."""
        return self._conditions.now(self.reader.read())

    def watch(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        """Yield the conditions now and at every change. Raises InstallError."""
        kinds = {resource_of(item) for item in self._workloads()}
        kinds |= {"pod", *self._extra} - {"node"}
        watch = WorkloadWatch(self.kubectl, self.reader, self._conditions, sorted(kinds))
        try:
            yield from watch.changes(ctx)
        finally:
            self.reader.forget()

    def service_ports(self) -> dict[str, tuple[str, dict[int, int]]]:
        """Return the release's Services: name -> (namespace, port -> node port or 0)."""
        found = {}
        for item in self.release().objects:
            if item["kind"] == "Service":
                ports = {int(port["port"]): int(port.get("nodePort", 0)) for port in item["spec"].get("ports", [])}
                key = key_of(item)
                found[key.name] = (key.namespace, ports)
        return found
