"""The kube-context provider: the stack in somebody's cluster, in our namespace, and nothing else of it."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import (
    ClusterReport,
    ClusterState,
    Data,
    Drift,
    Endpoint,
    Overview,
    Probe,
    ProviderConfig,
    Requirement,
)
from contextcore_install.core.requirements import Category, Listener
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.reasons import PORT_FORWARD
from contextcore_install.engine.replica import Remote
from contextcore_install.providers.existing_cluster.data import through_pod
from contextcore_install.providers.existing_cluster.identity import KnownCluster
from contextcore_install.providers.existing_cluster.place import ReleasePlace
from contextcore_install.providers.existing_cluster.rights import namespaces_are_there, rights_finding, rights_missing
from contextcore_install.providers.kubernetes.data import ClaimData
from contextcore_install.providers.kubernetes.inventory import reach_of_services
from contextcore_install.providers.kubernetes.objects import NAMESPACE
from contextcore_install.providers.kubernetes.port_forward import PortForwards
from contextcore_install.providers.kubernetes.provider import KubernetesProvider
from contextcore_install.providers.kubernetes.requirements import manifests_requirement, tool_requirement
from contextcore_install.providers.kubernetes.stack import KubernetesStack
from contextcore_install.stack.catalogue import COMPONENTS, LOOPBACK, PORTS, resolve_ports
from contextcore_install.stack.intake import OTLP_ANSWERS, OTLP_PATH, OTLP_PORT
from contextcore_install.system.files import read_text, write_atomically
from contextcore_install.system.programs import KUBECTL

CONTEXT_FILE = "context"
"""In the cluster's folder: the context that the release was applied in."""


class KubeContextProvider(KubernetesProvider):
    """Runs the stack in a cluster that exists. Nothing is looked up before it is asked for."""

    name = "kube-context"
    context_remedy = ("Name one that is there.", "kubectl config get-contexts -o name")
    variant = "inside"

    def __init__(self, config: ProviderConfig) -> None:
        resolve_ports(config.ports)
        super().__init__(config, self.name, config.environ)
        self.adapt = _inside_only
        self._is_no_others = False
        self.context = str(config.options.get("context") or self._remembered())
        if not self.context:
            raise usage_error(
                "--provider kube-context needs the context of a cluster",
                "add --context NAME; `kubectl config get-contexts` shows the names",
            )

    @cached_property
    def _stack(self) -> KubernetesStack:
        return KubernetesStack(self._kubectl, self._source, reads_nodes=False)

    @cached_property
    def _place(self) -> ReleasePlace:
        return ReleasePlace(self._stack, self._config.cluster)

    @cached_property
    def _known(self) -> KnownCluster:
        is_chosen = "context" in self._config.given_now
        return KnownCluster(self._kubectl, self._folder, self._config.cluster, is_chosen=is_chosen)

    @cached_property
    def _rights(self) -> TtlCache[Finding | None]:
        return TtlCache(self._look_at_rights)

    @cached_property
    def _forwards(self) -> PortForwards:
        forwards = PortForwards(self._kubectl)
        atexit.register(forwards.close)
        return forwards

    # The port

    def requirements(self) -> Sequence[Requirement]:
        """Return what this machine and this user must have."""
        return [
            tool_requirement(KUBECTL, self._box, self._config),
            Requirement(
                "context", f"The context {self.context}", self._context_probe, category=Category.INFRASTRUCTURE
            ),
            Requirement("rights", "Rights in the cluster", self._rights_probe, category=Category.INFRASTRUCTURE),
            manifests_requirement(self._source, self._box),
        ]

    def cluster(self) -> ClusterReport:
        """Return whether the cluster is there for us: reached, with rights, and our place in it not another's.

        Raises InstallError when it is not reached: there is nothing that we could make or start.
        """
        self._known.require()
        if taken := self._place.taken():
            return ClusterReport(ClusterState.FOREIGN, taken.evidence)
        if (self._folder / CONTEXT_FILE).is_file() and self._place.is_ours():
            self._known.note_where_ours_is()
        finding = self._rights.read()
        return ClusterReport(ClusterState.HEALTHY, f"{self.context} answers", (finding,) if finding else ())

    def create_cluster(self, ctx: StepContext) -> None:
        """Make nothing: the cluster is somebody's. Raises InstallError for what stands in the way."""
        report = self.cluster()
        if taken := self._place.taken():
            raise taken
        problem = next((finding for finding in report.findings if not finding.warning), None)
        if problem is not None:
            hint = problem.remedy.command if problem.remedy else ""
            raise InstallError(problem.code, problem.message, problem.evidence, hint)

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """Remove our objects and, unless it is to be kept, their data; the cluster and its namespaces stay.

        Raises InstallError.
        """
        self._known.require()
        if others := self._place.other_installation():
            raise others
        self._forwards.close()
        self._stack.remove(ctx, with_data=not keep_data)
        if not keep_data:
            self._forget_claims()

    def data(self) -> Data:
        """Return the way to what the components keep."""
        reach = through_pod(self._kubectl, self._stack.release, self._config.cluster)
        return ClaimData(self._stack, self._config.cluster, reach, on_node=False, outlives_cluster=True)

    def remote(self) -> Remote:
        """Return the way to the installation's records. Raises InstallError `cluster-changed`."""
        self._known.require()
        return super().remote()

    def drift(self) -> Sequence[Drift]:
        """Return how the cluster differs from the release; raises InstallError, also for objects that are others'."""
        self._require_cluster()
        if others := self._place.others_objects():
            raise others
        return super().drift()

    def apply_release(self, ctx: StepContext) -> None:
        """Apply the release, and note where: the state may be reset. Raises InstallError."""
        self._known.require()
        if others := self._place.others_objects():
            raise others
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._folder / CONTEXT_FILE, self.context + "\n")
        self._known.note()
        super().apply_release(ctx)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component is reached: at the end of a way that kubectl keeps open while this program lives.

        One without a way at the moment has port 0, where nothing listens; no way is opened to another installation's.
        """
        found = self._services()
        stranger = self._stranger()
        ports = [0] * len(found) if stranger else self._forwards.ports([service for _, service in found])
        return [
            replace(endpoint, base_url=f"http://{LOOPBACK}:{port}", stranger=stranger)
            for (endpoint, _), port in zip(found, ports, strict=True)
        ]

    def listeners(self) -> Sequence[Listener]:
        """Return how far each Service of the release reaches. Raises InstallError."""
        return list(reach_of_services(self._stack.release(), self._stack.reader.read()))

    def _services(self) -> list[tuple[Endpoint, tuple[str, str, int]]]:
        """Return what is asked of each component, without a way to it, and its Service: namespace, name and port."""
        services = self._stack.service_ports()
        asked = [
            (Endpoint(item.name, "", item.ready_path, PORT_FORWARD), name, PORTS[item.ready_port].container)
            for item in COMPONENTS
            for name in dict.fromkeys((item.name, item.ready_port))
        ]
        otlp = Endpoint("alloy", "", OTLP_PATH, PORT_FORWARD, OTLP_ANSWERS)
        asked.append((otlp, "alloy", PORTS[OTLP_PORT].container))
        return [
            (endpoint, (services[name][0], name, port))
            for endpoint, name, port in asked
            if port in services.get(name, ("", {}))[1]
        ]

    def overview(self) -> Overview:
        """Return what runs where, and how to reach it: our own ways end with this program."""
        grafana = self._kubectl.shown("-n", NAMESPACE, "port-forward", "service/grafana", "3000")
        pods, login = self._login_hints()
        way = f"Grafana at http://{LOOPBACK}:3000, while this runs: {grafana}"
        programs = {item.name: item.image for item in COMPONENTS}
        return Overview(programs=programs, hints=(pods, way, login))

    def by_hand(self, step_id: str) -> Sequence[str]:
        """Return the commands that do a step by hand."""
        if step_id == "preflight":
            return ["kubectl version --client", self._kubectl.shown("auth", "can-i", "--list", "-n", NAMESPACE)]
        if step_id == "cluster_create":
            return [self._kubectl.shown("get", "--raw", "/readyz")]
        if step_id == "services_verify":
            ways = [
                self._kubectl.shown("-n", namespace, "port-forward", f"service/{name}", str(port))
                for _, (namespace, name, port) in self._services()
            ]
            return [f"{way} &" for way in ways]
        return super().by_hand(step_id)

    # Helpers

    def _require_cluster(self) -> None:
        """Raise InstallError for a cluster that is another one; whether it runs is known by nothing but its API."""
        self._known.require()

    def _remembered(self) -> str:
        try:
            return read_text(self._folder / CONTEXT_FILE).strip()
        except (OSError, ValueError):
            return ""

    def _context_probe(self) -> Probe:
        try:
            answer = self._kubectl.call("get", "--raw", "/version", timeout_s=15)
        except InstallError as error:
            return Probe(findings=(_finding(error),))
        version = answer.partition('"gitVersion"')[2].split('"')[1:2]
        return Probe(f"{self.context} answers: Kubernetes {''.join(version)}")

    def _rights_probe(self) -> Probe:
        try:
            finding = self._rights.read()
        except InstallError as error:
            return Probe(f"not known: {error.message}", skipped=True)  # the probe of the context says why
        return Probe("sufficient", (finding,) if finding else ())

    def _look_at_rights(self) -> Finding | None:
        release = self._stack.release()
        missing = rights_missing(self._kubectl, release)
        if any(right.resource == "namespaces" for right in missing) and namespaces_are_there(self._kubectl, release):
            missing = [right for right in missing if right.resource != "namespaces"]
        return rights_finding(missing, self._kubectl, release)

    def _stranger(self) -> str:
        """Say whose the Services in the place of ours are; empty where they are ours, or nobody knows.

        Once they were found to be no other's they stay so for as long as this program lives: ours would be in the way.
        """
        if self._is_no_others:
            return ""
        try:
            self._known.require()
            taken = self._place.taken()
        except InstallError as error:
            return error.message if error.code == "cluster-changed" else ""
        self._is_no_others = taken is None
        return taken.evidence if taken else ""


def _inside_only(item: dict[str, Any]) -> None:
    """Keep Services inside: the fixed ports of a kind node would open the stack on every node of a shared cluster."""
    spec = item.get("spec", {})
    if item.get("kind") == "Service" and spec.get("type") == "NodePort":
        spec["type"] = "ClusterIP"
        for port in spec.get("ports", []):
            port.pop("nodePort", None)


def _finding(error: InstallError) -> Finding:
    remedy = Remedy(error.hint, error.hint) if error.hint else None
    return Finding(error.code, error.message, error.evidence, remedy)
