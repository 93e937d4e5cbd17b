"""The kube-context provider: the stack in somebody's cluster, in our namespace, and nothing else of it."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own, usage_error
from contextcore_install.core.findings import Finding, Remedy, finding_of
from contextcore_install.core.interfaces import StepContext
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
from contextcore_install.providers.existing_cluster.ownership import CHANGED, Ownership
from contextcore_install.providers.existing_cluster.rights import rights_finding
from contextcore_install.providers.kubernetes.data import Claim, ClaimData, ClaimPlace, copy_pod
from contextcore_install.providers.kubernetes.port_forward import PortForwards
from contextcore_install.providers.kubernetes.provider import KubernetesProvider, keep_note, read_note
from contextcore_install.providers.kubernetes.requirements import manifests_requirement, tool_requirement
from contextcore_install.stack.catalogue import ASKED, COMPONENTS, LOOPBACK, PORTS, component, resolve_ports
from contextcore_install.system.programs import KUBECTL

IMAGE_OF = "grafana"  # of the stack's images this one has a shell and tar; most hold a single program
COPY_POD_READY_S = 120  # for a pod that copies to run
CONTEXT_FILE = "context"  # in the cluster's folder: the context that the release was applied in


class KubeContextProvider(KubernetesProvider):
    """Runs the stack in a cluster that exists. Nothing is looked up before it is asked for."""

    name = "kube-context"

    def __init__(self, config: ProviderConfig) -> None:
        resolve_ports(config.ports)
        context = str(config.options.get("context") or read_note(config.folder / self.name / CONTEXT_FILE))
        if not context:
            raise usage_error(
                "--provider kube-context needs the context of a cluster",
                "add --context NAME; `kubectl config get-contexts` shows the names",
            )
        show = "kubectl config get-contexts -o name"
        remedy = {"context_remedy": "Name one that is there.", "context_command": show}
        super().__init__(config, config.environ, context, remedy)
        is_chosen = "context" in config.given_now
        self._ownership = Ownership(self._bare_kubectl, self._reader, self._folder, config.cluster, is_chosen=is_chosen)
        self._rights = TtlCache(lambda: rights_finding(self._bare_kubectl, self._reader.release()))
        self._is_no_others = False

    @cached_property
    def _forwards(self) -> PortForwards:
        # Only when it is used: what is registered is kept, with all that was read, until the program ends.
        forwards = PortForwards(self._kubectl)
        atexit.register(forwards.close)
        return forwards

    def _program(self) -> str:
        """Return the kubectl for the next command; raises InstallError unless the cluster is known to be the one."""
        self._ownership.require()
        return super()._program()

    def _require_cluster(self) -> None:
        self._ownership.require()

    def _refuse_foreign(self) -> None:
        """Raise InstallError for a cluster that is another one, and for objects that are others'."""
        self._ownership.require()
        if foreign := self._ownership.foreign():
            raise foreign

    # The port

    def requirements(self) -> Sequence[Requirement]:
        of_cluster = partial(Requirement, category=Category.INFRASTRUCTURE)
        return [
            tool_requirement(KUBECTL, self._box, self._config),
            of_cluster("context", f"The context {self.context}", self._probe_context),
            of_cluster("rights", "Rights in the cluster", self._probe_rights),
            manifests_requirement(self._source, self._box),
            *([of_cluster("images", "Images for the cluster", self._probe_images)] if self._config.bundle else []),
        ]

    def _probe_images(self) -> Probe:
        """Say what the cluster must be able to pull: nobody but its owner can give images to its nodes."""
        if registry := self._config.options.get("registry"):
            return Probe(f"the cluster pulls them from {registry}")
        push = "Push the bundle's images to a registry that the cluster reaches, and add --registry PREFIX."
        names = ", ".join(item.image for item in COMPONENTS)
        message = "The cluster pulls its images itself, and not from the bundle."
        remedy = Remedy(push, own("bundle", "list", str(self._config.bundle)))
        return Probe(names, (Finding("bundle-images", message, names, remedy, warning=True),))

    def _probe_context(self) -> Probe:
        if self._box.find(KUBECTL) is None:
            return Probe("not known: it needs kubectl", skipped=True)
        try:
            answer = self._bare_kubectl.call("get", "--raw", "/version", timeout_s=15)
        except InstallError as error:
            return Probe(findings=(finding_of(error),))
        version = answer.partition('"gitVersion"')[2].split('"')[1:2]
        return Probe(f"{self.context} answers: Kubernetes {''.join(version)}")

    def _probe_rights(self) -> Probe:
        try:
            finding = self._rights.read()
        except InstallError as error:
            return Probe(f"not known: {error.message}", skipped=True)  # the probe of the context says why
        return Probe("sufficient", (finding,) if finding else ())

    def cluster(self) -> ClusterReport:
        """Return whether the cluster is there for us: with rights, and our place in it not another's."""
        self._ownership.require()
        if taken := self._ownership.taken():
            return ClusterReport(ClusterState.FOREIGN, taken.evidence)
        if (self._folder / CONTEXT_FILE).is_file() and self._ownership.are_ours():
            self._ownership.note(only_if_new=True)
        finding = self._rights.read()
        return ClusterReport(ClusterState.HEALTHY, f"{self.context} answers", (finding,) if finding else ())

    def create_cluster(self, ctx: StepContext) -> None:
        """Make nothing: the cluster is somebody's. Raises InstallError for what stands in the way."""
        report = self.cluster()
        if taken := self._ownership.taken():
            raise taken
        for missing in report.findings:
            raise missing.as_error(missing.remedy.command if missing.remedy else "")

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """Remove our objects and, unless it is to be kept, their data; the cluster and its namespaces stay."""
        self._ownership.require()
        if others := self._ownership.of_other_installation():
            raise others
        self._forwards.close()
        self._applier.remove(self._reader.release(), ctx, with_data=not keep_data)
        if not keep_data:
            self._forget_claims()

    def data(self) -> Data:
        return ClaimData(self._reader, self._config.cluster, self._reach_claim, outlives_cluster=True)

    @contextmanager
    def _reach_claim(self, claim: Claim, ctx: StepContext) -> Iterator[ClaimPlace]:
        """Give the way to a claim's files: through a pod of ours that has it mounted, for the length of a copy.

        It runs an image that the stack has on the node anyway, so that nothing is pulled, as the user whose files they
        are.
        """
        kubectl, wanted = self._kubectl, component(IMAGE_OF).image
        # As the release has it: it may come from a mirror.
        image = next((image for image in self._reader.release().images if image.endswith(wanted)), wanted)
        manifest = copy_pod(claim, image, self._config.cluster)
        name, scope = manifest["metadata"]["name"], ("-n", claim.key.namespace)
        folder = manifest["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
        ctx.activity(f"starting a pod that has {claim.key.name}")
        try:
            kubectl.call("create", "-f", "-", "-o", "name", stdin=json.dumps(manifest), ctx=ctx)
            ready = ("wait", "--for=condition=Ready", f"pod/{name}", *scope, f"--timeout={COPY_POD_READY_S}s")
            kubectl.call(*ready, ctx=ctx, timeout_s=COPY_POD_READY_S + 10)
            yield ClaimPlace(tuple(kubectl.argv("exec", "-i", *scope, name, "--", timeout="0")), folder)
        finally:
            with suppress(InstallError):
                # It has nothing to finish, and nobody waits for it to be gone.
                kubectl.call("delete", "pod", name, *scope, "--ignore-not-found", "--grace-period=1", "--wait=false")

    def remote(self) -> Remote:
        """Return the way to the records; of a cluster that does not answer yet, it is asked before each use of them."""
        self._ownership.require(if_it_answers=True)
        return super().remote()

    def drift(self) -> Sequence[Drift]:
        self._refuse_foreign()
        return super().drift()

    def apply_release(self, ctx: StepContext) -> None:
        """Apply the release, and note where: the state may be reset."""
        self._refuse_foreign()
        keep_note(self._folder / CONTEXT_FILE, self.context)
        self._ownership.note()
        super().apply_release(ctx)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component is reached: through a forward of kubectl's, or at port 0 if there is none."""
        found = self._services()
        stranger = self._stranger()
        ports = [0] * len(found) if stranger else self._forwards.ports([service for _, service in found])
        return [
            replace(endpoint, base_url=f"http://{LOOPBACK}:{port}", stranger=stranger)
            for (endpoint, _), port in zip(found, ports, strict=True)
        ]

    def _services(self) -> list[tuple[Endpoint, tuple[str, str, int]]]:
        """Return what is asked of each component, without a base URL, and its Service: namespace, name and port."""
        services = self._service_ports()
        return [
            (Endpoint(component, "", path, PORT_FORWARD, accepts), (services[name][0], name, port))
            for component, port_key, path, accepts in ASKED
            for name in dict.fromkeys((component, port_key))
            if (port := PORTS[port_key].container) in services.get(name, ("", {}))[1]
        ]

    def _stranger(self) -> str:
        """Return whose the Services in the place of ours are; empty if they are ours, or nobody knows."""
        if self._is_no_others:
            return ""
        try:
            self._ownership.require()
            taken = self._ownership.taken()
        except InstallError as error:
            return error.message if error.code == CHANGED else ""
        self._is_no_others = taken is None  # and stays so: from now on ours would be in the way
        return taken.evidence if taken else ""

    def listeners(self) -> Sequence[Listener]:
        """Return how far each Service of the release reaches, as it is in the cluster."""
        snapshot, found = self._reader.read(), []
        services = (snapshot.get(key) for key in self._reader.release().by_key if key.kind == "Service")
        for live in filter(None, services):
            place = "inside the cluster"
            if live.spec.get("type") == "NodePort":
                numbers = ", ".join(str(port.get("nodePort", "?")) for port in live.spec.get("ports", []))
                place = f"every node, port {numbers}"
            elif live.spec.get("type") == "LoadBalancer" or live.spec.get("externalIPs"):
                place = "a load balancer"
            found.append(Listener(live.key.label, place, is_open=place != "inside the cluster"))
        return found

    def overview(self) -> Overview:
        programs = {item.name: item.image for item in COMPONENTS}
        return Overview(programs=programs, hints=self._typed("hints", "login"))

    def by_hand(self, step_id: str) -> Sequence[str]:
        if step_id != "services_verify":
            return super().by_hand(step_id)
        shown, services = self._kubectl.shown, [service for _, service in self._services()]
        return [
            f"{shown('-n', namespace, 'port-forward', f'service/{name}', str(port))} &"
            for namespace, name, port in services
        ]


create = KubeContextProvider


def recollect(config: ProviderConfig) -> Mapping[str, int] | None:
    """Return no ports, as there are none to choose; None if this machine has no note of a release."""
    return {} if (config.folder / KubeContextProvider.name / CONTEXT_FILE).is_file() else None


def held_ports(_: Mapping[str, int]) -> dict[str, int]:
    """Return no ports: forwards take what is free, and end with the program."""
    return {}
