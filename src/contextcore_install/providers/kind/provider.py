"""The kind provider: the port's methods, made from the parts beside this file and those that it shares."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import Collector
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import (
    ClusterReport,
    ClusterState,
    Data,
    Endpoint,
    Overview,
    ProviderConfig,
    Requirement,
)
from contextcore_install.core.requirements import Listener, socket_listener
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.reasons import NODE_PORT
from contextcore_install.providers.kind.choice import choose_engine, nodes_of
from contextcore_install.providers.kind.config import default_node_image
from contextcore_install.providers.kind.creation import ClusterSpec, Creation
from contextcore_install.providers.kind.data import through_node
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.evidence import engine_evidence, export_evidence
from contextcore_install.providers.kind.holders import Holders
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.images import by_hand as load_by_hand
from contextcore_install.providers.kind.inside import Inside
from contextcore_install.providers.kind.inspector import Inspector
from contextcore_install.providers.kind.owner import owner_file
from contextcore_install.providers.kind.report import EXPORT, report_of, unlike
from contextcore_install.providers.kind.requirements import KindRequirements
from contextcore_install.providers.kubernetes.by_hand import by_hand
from contextcore_install.providers.kubernetes.data import ClaimData
from contextcore_install.providers.kubernetes.provider import KubernetesProvider
from contextcore_install.providers.kubernetes.render import OURS
from contextcore_install.providers.kubernetes.stack import KubernetesStack
from contextcore_install.providers.kubernetes.system import ClusterSystem
from contextcore_install.stack.catalogue import COMPONENTS, LOOPBACK, PORTS, resolve_ports
from contextcore_install.stack.intake import OTLP_ANSWERS, OTLP_PATH, OTLP_PORT
from contextcore_install.system.ports import takes_connections
from contextcore_install.system.programs import KIND

#: Seconds for which services must answer once their node has come back: until kube-proxy has written its rules anew.
STEADY_S = 2.0


class KindProvider(KubernetesProvider):
    """Runs the stack in a cluster of kind. Nothing is looked up before it is asked for."""

    name = "kind"
    owns_nodes = True

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, self.name, _without_proxy(config.environ))
        self.context = f"kind-{config.cluster}"
        self.context_remedy = ("Have kind write it again.", EXPORT.format(cluster=config.cluster))
        self._ports = resolve_ports(config.ports)
        self._owners = owner_file(config)

    @property
    def _node_image(self) -> str:
        """The node image to make a cluster with; not remembered, as kind may be installed meanwhile."""
        asked = str(self._config.options.get("node_image") or "")
        return asked or default_node_image(found.version if (found := self._box.find(KIND)) else ())

    # The parts

    @cached_property
    def _engine(self) -> ContainerEngine:
        return choose_engine(self._box.environ, self._owners.read())

    @cached_property
    def _nodes(self) -> TtlCache[Sequence[Node]]:
        return TtlCache(lambda: nodes_of(self._engine, self._config.cluster, self._owners.read()))

    @cached_property
    def _images(self) -> Images:
        may_pull = self._config.options.get("pull") != "never"
        return Images(self._engine, self._config.cluster, may_pull=may_pull)

    def _make_stack(self) -> KubernetesStack:
        return KubernetesStack(
            self._kubectl,
            self._source,
            image_remedy=self._image_remedy,
            get_images=self._get_images,
            node_started=lambda: self._look.started(),  # noqa: PLW0108 - made below, from this
        )

    @cached_property
    def _look(self) -> Inspector:
        reader, inside = self._stack.reader, Inside(self._engine)
        return Inspector(self._config.cluster, self._nodes, self._kubectl, reader, self._owners, inside)

    @cached_property
    def _system(self) -> ClusterSystem:
        node = f"{self._config.cluster}-control-plane"
        return ClusterSystem(self._kubectl, self._require_cluster, lambda: f"{self._engine.name} exec {node} kubeadm")

    @cached_property
    def _holders(self) -> Holders:
        return Holders(self._nodes.read, self._owners.read, takes_connections)

    @cached_property
    def _creation(self) -> Creation:
        wish = ClusterSpec(
            self._config.cluster,
            self._ports,
            self._node_image,
            int(self._config.options.get("workers") or 0),
            lambda: self._stack.release().images,
        )
        lock = self._config.bin_folder.parent / "kind.lock"
        return Creation(
            wish,
            self._folder,
            lock,
            lambda: self._box.path(KIND),
            self._engine,
            self._kubectl,
            self._look,
            self._owners,
            self._images,
        )

    # The port

    def requirements(self) -> Sequence[Requirement]:
        """Return what the machine must have."""
        return KindRequirements(
            self._config, self._box, self._engine, self._ports, self._node_image, self._source, self._our_nodes
        ).all()

    def cluster(self) -> ClusterReport:
        """Return what is there under the cluster's name. Raises InstallError when the engine does not answer."""
        sight = self._look.see()
        engine = self._engine
        report = report_of(self._config.cluster, sight, self._ports, engine.name, engine.network)
        if report.state is not ClusterState.HEALTHY:
            return report
        unlikeness = unlike(self._config.cluster, sight.nodes, self._config.options)
        return replace(report, findings=(*report.findings, *unlikeness))

    def create_cluster(self, ctx: StepContext) -> None:
        """Bring the cluster to healthy. Raises InstallError."""
        try:
            self._creation.bring_up(ctx)
            self._owners.made_at(self._engine.endpoint.shown, self._engine.identity())
        except BaseException:
            self._nodes.forget()
            self._stack.reader.forget()
            raise

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """Remove the cluster with all that is in it, its volumes too: they are in its nodes. Raises InstallError."""
        try:
            self._creation.remove(ctx)
        finally:
            self._nodes.forget()
        self._forget_claims()

    def data(self) -> Data:
        """Return the way to what the components keep."""
        self._require_cluster()
        reach = through_node(self._engine, self._kubectl)
        return ClaimData(self._stack, self._config.cluster, reach, on_node=True, outlives_cluster=False)

    def apply_release(self, ctx: StepContext) -> None:
        """Apply the release, its images in the nodes first: there they would be pulled slowly. Raises InstallError."""
        lacking = self._images.lacking(self._stack.release().images, self._stack.reader.read().of_kind("Node"))
        if lacking:
            with ctx.part("images"):
                for error in self._images.provide(lacking, ctx).values():
                    ctx.output(f"{error.message} {error.evidence}")  # a node may still be able to pull it
        super().apply_release(ctx)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component is reached: the host ports that the node shows. None before there is a node."""
        if not self._is_whole():
            return []
        shown = self._node_ports()
        steady_s = STEADY_S if self._look.has_just_come_back() else 0.0
        found = []
        for item in COMPONENTS:
            port = next((port for port in item.ports if port.node_port and port.key == item.ready_port), None)
            if port is not None and (shown is None or port.node_port in shown):
                found.append(self._endpoint(item.name, port.key, item.ready_path))
        if shown is None or PORTS[OTLP_PORT].node_port in shown:
            found.append(replace(self._endpoint("alloy", OTLP_PORT, OTLP_PATH), accepts=OTLP_ANSWERS))
        return [replace(endpoint, steady_s=steady_s) for endpoint in found]

    def _endpoint(self, component: str, port_key: str, path: str) -> Endpoint:
        port = self._ports[port_key]
        stranger = self._holders.stranger(port)
        return Endpoint(component, f"http://{LOOPBACK}:{port}", path, NODE_PORT, stranger=stranger, port_is_fixed=True)

    def cluster_services(self) -> Sequence[Requirement]:
        """Return what must hold of kube-proxy and the cluster's DNS."""
        return self._system.requirements()

    def listeners(self) -> Sequence[Listener]:
        """Return the ports of this machine that lead into the nodes, as the engine binds them. Raises InstallError."""
        return [
            socket_listener(f"{node.name}:{inside}", address, port)
            for node in self._our_nodes()
            for inside, (address, port) in sorted(node.ports.items())
        ]

    def by_hand(self, step_id: str) -> Sequence[str]:
        """Return the commands that do by hand what a step asks this provider for."""
        if step_id == "preflight":
            return [f"{self._engine.name} info", "kind version", "kubectl version --client"]
        if step_id == "cluster_create":
            config = shlex.quote(str(self._folder / "kind.json"))
            name = self._config.cluster
            images = self._stack.release().images
            return [
                f"kind create cluster --name {name} --config {config}",
                *(f"{self._engine.name} pull {image}" for image in images),
                *(load_by_hand(self._engine.name, image, f"{name}-control-plane") for image in images),
            ]
        return by_hand(step_id, self._kubectl, self._source.folder)

    def evidence(self) -> Sequence[Collector]:
        """Return what can be collected of the engine, the cluster and its nodes."""
        name = self._config.cluster
        return [
            *engine_evidence(name, self._engine),
            *super().evidence(),
            export_evidence(name, self._engine, lambda: self._box.path(KIND)),
        ]

    def overview(self) -> Overview:
        """Return what runs where, and how to look at it."""
        programs = {item.name: item.image for item in COMPONENTS}
        return Overview(endpoints=tuple(self.endpoints()), programs=programs, hints=self._login_hints())

    # Helpers

    def _require_cluster(self) -> None:
        self._look.require_running()

    def _our_nodes(self) -> Sequence[Node]:
        """Return the nodes, if they are ours."""
        sight = self._look.see()
        return sight.nodes if sight.ours else ()

    def _is_whole(self) -> bool:
        """Tell whether the cluster was made to its end: as our note says, or its own mark where there is no note."""
        owner = self._owners.read()
        if owner is not None:
            return owner.complete
        sight = self._look.see()
        return bool(sight.nodes) and sight.ours

    def _node_ports(self) -> set[int] | None:
        """Return the node ports of the user's own manifests; None for ours, which have them all."""
        if self._source.folder == OURS:
            return None
        return {number for _, ports in self._stack.service_ports().values() for number in ports.values()}

    def _image_remedy(self, image: str) -> str:
        return "Load it from the container engine into the nodes." if self._images.could_have(image) else ""

    def _get_images(self, images: Sequence[str], ctx: StepContext) -> Mapping[str, InstallError]:
        with ctx.part("images"):
            return self._images.provide(images, ctx, again=True)


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this machine left out of what goes through a proxy."""
    kept = dict(environ)
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in kept.get(name, "").split(",") if host]
        kept[name] = ",".join(dict.fromkeys([*hosts, LOOPBACK, "localhost"]))
    return kept
