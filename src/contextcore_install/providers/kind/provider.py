"""The kind provider: the port's methods, made from the parts beside this file and those that it shares."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, partial
from typing import Any

from contextcore_install.core.errors import RESUME, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import (
    ClusterReport,
    Collector,
    Data,
    Endpoint,
    Overview,
    ProviderConfig,
    Requirement,
)
from contextcore_install.core.requirements import Listener, socket_listener
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.reasons import NODE_PORT
from contextcore_install.providers.kind.bundle_images import BundleImages, tag_of
from contextcore_install.providers.kind.cluster import (
    ClusterSpec,
    PortHolders,
    default_node_image,
    mapped_ports,
    owner_file,
)
from contextcore_install.providers.kind.creation import Creation
from contextcore_install.providers.kind.delivery import Delivery
from contextcore_install.providers.kind.engine import ContainerEngine, choose_engine, nodes_of
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.images import Images, by_digest, load_by_hand
from contextcore_install.providers.kind.inspector import ClusterAccess, Inspector
from contextcore_install.providers.kind.report import EXPORT, engine_evidence, other_ports, report_of
from contextcore_install.providers.kind.requirements import KindRequirements
from contextcore_install.providers.kubernetes.client import READ_FRESH_S
from contextcore_install.providers.kubernetes.data import Claim, ClaimData, ClaimPlace
from contextcore_install.providers.kubernetes.manifests import OURS
from contextcore_install.providers.kubernetes.provider import KubernetesProvider
from contextcore_install.providers.kubernetes.requirements import ClusterSystem
from contextcore_install.stack.catalogue import ASKED, COMPONENTS, LOOPBACK, PORTS, resolve_ports
from contextcore_install.stack.provisioned import dashboard_url
from contextcore_install.system.ports import past_proxies
from contextcore_install.system.programs import KIND, KUBECTL, Tool

STEADY_S = 2.0  # for which services must answer once their node was restarted, until kube-proxy has its rules again


class KindProvider(KubernetesProvider):
    """Runs the stack in a cluster of kind. Nothing is looked up before it is asked for."""

    name = "kind"
    owns_nodes = True

    def __init__(self, config: ProviderConfig) -> None:
        export = EXPORT.format(cluster=config.cluster)
        remedy = {"context_remedy": "Have kind write it again.", "context_command": export}
        super().__init__(config, past_proxies(config.environ), f"kind-{config.cluster}", remedy)
        self._ports = resolve_ports(config.ports)
        self._owners = owner_file(config)
        self._nodes = TtlCache(self._ask_for_nodes, READ_FRESH_S)
        self._port_holders = PortHolders(self._nodes.read, self._owners.read)
        key = str(config.options.get("bundle_key", ""))
        self._bundle = BundleImages(config.bundle, key) if config.bundle else None

    @property
    def _node_image(self) -> str:
        """The node image to make a cluster with; not remembered, as kind may be installed meanwhile."""
        asked = str(self._config.options.get("node_image") or "")
        bundled = tag_of(asked) or self._bundle.node_image if self._bundle else ""
        if self._bundle and self._bundle.holds(bundled):
            return bundled
        return asked or default_node_image(found.version if (found := self._box.find(self._kind)) else ())

    # The parts

    @cached_property
    def _engine(self) -> ContainerEngine:
        return choose_engine(self._box.environ, self._owners.read())

    @property
    def _kind(self) -> Tool:
        return self._bundle.kind if self._bundle else KIND

    @cached_property
    def _images(self) -> Images:
        may_pull = self._config.options.get("pull") != "never" and self._bundle is None
        return Images(self._engine, self._config.cluster, may_pull=may_pull, bundle=self._bundle)

    def _image_remedy(self, image: str) -> str:
        return "Load it from the container engine into the nodes." if self._images.could_have(image) else ""

    def _nodes_started(self) -> Mapping[str, str]:
        return self._inspector.started()

    def _get_images(self, images: Sequence[str], ctx: StepContext) -> Mapping[str, InstallError]:
        with ctx.part("images"):
            return self._images.provide(images, ctx)

    @cached_property
    def _inspector(self) -> Inspector:
        access = ClusterAccess(self._config.cluster, self._engine, self._kubectl, self._owners)
        return Inspector(access, self._nodes, self._reader)

    @cached_property
    def _creation(self) -> Creation:
        workers = int(self._config.options.get("workers") or 0)
        spec = ClusterSpec(self._ports, self._node_image, workers, lambda: self._reader.release().images)
        lock = self._config.bin_folder.parent / "kind.lock"
        kind = partial(self._box.path, self._kind)
        return Creation(self._inspector.cluster, spec, self._folder, lock, kind, self._inspector, self._images)

    def _ask_for_nodes(self) -> Sequence[Node]:
        return nodes_of(self._engine, self._config.cluster, self._owners.read())

    def _require_cluster(self) -> None:
        nodes = self._nodes.read()
        stopped = ", ".join(f"{node.name} ({node.state})" for node in nodes if node.state != "running")
        if stopped or not nodes:
            message = f"The cluster {self._config.cluster} does not run."
            raise InstallError("cluster-not-running", message, stopped or "there is none of this name", RESUME)

    def _our_nodes(self) -> Sequence[Node]:
        snapshot = self._inspector.inspect()
        return snapshot.nodes if snapshot.ours else ()

    # The port

    def requirements(self) -> Sequence[Requirement]:
        config, box, engine, ports, image = self._config, self._box, self._engine, self._ports, self._node_image
        needs = KindRequirements(config, box, engine, ports, image, self._source, self._our_nodes, self._kind)
        # First: nothing is taken from a bundle before it is known to be what it was.
        return [*([self._bundle.requirement(self._needed_images)] if self._bundle else []), *needs.all()]

    def _needed_images(self) -> Sequence[str]:
        """Return the images that a new cluster needs and that are nowhere but in the bundle; none if there is one."""
        if self._nodes.read():
            return []
        images = [] if self._box.find(KUBECTL) is None else self._reader.release().images
        needed = [self._node_image, *(image for image in images if not by_digest(image))]
        has = self._engine.has_image
        return [image for image in needed if (self._bundle and self._bundle.holds(image)) or not has(image)]

    def cluster(self) -> ClusterReport:
        name, engine, snapshot = self._config.cluster, self._engine, self._inspector.inspect()
        return report_of(name, snapshot, self._ports, engine.name, engine.network, self._config.options)

    def create_cluster(self, ctx: StepContext) -> None:
        try:
            self._creation.bring_up(ctx)
            self._owners.made_in(self._engine.name, self._engine.endpoint.shown, self._engine.identity())
        except BaseException:
            self._nodes.forget()
            self._reader.forget()
            raise

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """Remove the cluster with all that is in it, its volumes too: they are in its nodes."""
        try:
            self._creation.remove(ctx)
        finally:
            self._nodes.forget()
        self._forget_claims()

    def data(self) -> Data:
        self._require_cluster()
        reader, cluster, reach = self._reader, self._config.cluster, self._reach_claim
        return ClaimData(reader, cluster, reach, outlives_cluster=False, await_nodes=self._await_nodes)

    def _await_nodes(self, ctx: StepContext) -> None:
        self._creation.await_nodes(ctx)

    @contextmanager
    def _reach_claim(self, claim: Claim, _: StepContext) -> Iterator[ClaimPlace]:
        """Give the way to a claim's files: through the container of the node that has them in a folder."""
        name = str(claim.item["spec"]["volumeName"])
        volume = json.loads(self._kubectl.call("get", "persistentvolume", name, "-o", "json"))["spec"]
        folder = (volume.get("hostPath") or volume.get("local") or {}).get("path", "")
        node = node_of_volume(volume)
        if not folder or not node:
            message = f"The volume of {claim.key.name} is no folder of a node of this cluster."
            raise InstallError("volume-elsewhere", message, json.dumps(volume)[:400])
        yield ClaimPlace((self._engine.name, "exec", "-i", node), str(folder))

    def apply_release(self, ctx: StepContext) -> None:
        """Apply the release, but what needs an image not before that is in the nodes: they would pull it slowly."""
        for delivery in self._deliveries(ctx):
            with closing(delivery.left(ctx)) as changes:
                for left in changes:
                    self._apply(ctx, without=left)
        super().apply_release(ctx)

    def _deliveries(self, ctx: StepContext) -> Iterator[Delivery]:
        """Yield what is under way since the cluster was made, or an earlier attempt; then one more try at the rest."""
        creation, reader = self._creation, self._reader
        if creation.delivery and creation.delivery.is_under_way:
            yield creation.delivery
            if creation.delivery.is_under_way:  # for which the step has no more time
                return
        if lacking := self._images.lacking(reader.release().images, lambda: reader.read().of_kind("Node")):
            creation.delivery = Delivery(self._images, lambda: lacking, ctx, nodes_run=True)
            yield creation.delivery

    def start_workloads(self, ctx: StepContext) -> None:
        waited = self._creation.await_nodes(ctx)
        super().start_workloads(ctx)
        if waited:
            self._restarter.place_anew(ctx)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return the ports here that lead to components, if our note or, without one, its mark says it is whole."""
        owner = self._owners.read()
        if not (owner.complete if owner is not None else self._our_nodes()):
            return []
        published = {port.node_port for port in PORTS.values()}
        if self._source.folder != OURS:  # the user's own manifests may not have all
            published = {number for _, ports in self._service_ports().values() for number in ports.values()}
        return [self._endpoint(*where) for where in ASKED if PORTS[where[1]].node_port in published - {0}]

    def _endpoint(self, component: str, port_key: str, path: str, accepts: frozenset[int]) -> Endpoint:
        port = self._ports[port_key]
        steady_s = STEADY_S if self._inspector.has_restarted_recently() else 0.0
        stranger, url = self._port_holders.stranger(port), f"http://{LOOPBACK}:{port}"
        return Endpoint(component, url, path, NODE_PORT, accepts, steady_s, stranger, port_is_fixed=True)

    def cluster_services(self) -> Sequence[Requirement]:
        node = f"{self._config.cluster}-control-plane"
        system = ClusterSystem(self._kubectl, self._require_cluster, lambda: f"{self._engine.name} exec {node} kubeadm")
        return system.requirements()

    def listeners(self) -> Sequence[Listener]:
        return [
            socket_listener(f"{node.name}:{inside}", address, port)
            for node in self._our_nodes()
            for inside, (address, port) in sorted(node.ports.items())
        ]

    def by_hand(self, step_id: str) -> Sequence[str]:
        engine, name = self._engine.name, self._config.cluster
        if step_id == "preflight":
            return [f"{engine} info", "kind version", "kubectl version --client"]
        if step_id == "cluster_create":
            config, images = shlex.quote(str(self._folder / "kind.json")), self._reader.release().images
            return [
                f"kind create cluster --name {name} --config {config}",
                *(() if self._bundle else (f"{engine} pull {image}" for image in images)),
                *(load_by_hand(engine, image, f"{name}-control-plane", self._bundle) for image in images),
            ]
        return super().by_hand(step_id)

    def evidence(self) -> Sequence[Collector]:
        *first, last = engine_evidence(self._config.cluster, self._engine, partial(self._box.path, self._kind))
        return [*first, *super().evidence(), last]

    def overview(self) -> Overview:
        programs = {item.name: item.image for item in COMPONENTS}
        endpoints = tuple(self.endpoints())
        # The user's own manifests may have another dashboard, or none.
        dashboard = dashboard_url(endpoints, self._config.cluster) if self._source.folder == OURS else ""
        return Overview(endpoints, programs, hints=self._typed("hints", "login"), dashboard=dashboard)


def node_of_volume(volume: Mapping[str, Any]) -> str:
    """Return the node that a volume is pinned to, as the provisioner of kind's class `standard` writes it."""
    terms = ((volume.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or []
    found = (item for term in terms for name in ("matchExpressions", "matchFields") for item in term.get(name) or [])
    return next((str(item["values"][0]) for item in found if item.get("operator") == "In" and item.get("values")), "")


create = KindProvider


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    owner = owner_file(config).read()
    nodes = nodes_of(choose_engine(config.environ, owner), config.cluster, owner)
    return other_ports(nodes, resolve_ports({})) if nodes else None


def held_ports(ports: Mapping[str, int]) -> dict[str, int]:
    return dict(mapped_ports(resolve_ports(ports)).values())
