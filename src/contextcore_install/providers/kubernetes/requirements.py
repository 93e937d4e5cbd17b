"""What providers on Kubernetes require: kubectl, manifests that render, kube-proxy and the cluster's DNS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from contextcore_install.core.errors import INSTALL_TOOLS, InstallError
from contextcore_install.core.findings import Finding, Remedy, finding_of
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.core.text import count
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.diagnose import Evidence, problem_of
from contextcore_install.diagnosis.reasons import DNS_DOWN, DNS_GONE, DNS_SCALED_DOWN, PROXY_DOWN, PROXY_GONE
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.client import Kubectl, Snapshot
from contextcore_install.providers.kubernetes.manifests import ManifestSource
from contextcore_install.providers.kubernetes.objects import Key, Manifest
from contextcore_install.system.programs import KUBECTL, Tool, ToolBox

SYSTEM = "kube-system"
_PROXY = Key("DaemonSet", SYSTEM, "kube-proxy")
_DNS, _DNS_SERVICE = Key("Deployment", SYSTEM, "coredns"), Key("Endpoints", SYSTEM, "kube-dns")


def tool_requirement(tool: Tool, box: ToolBox, config: ProviderConfig) -> Requirement:
    def probe() -> Probe:
        found = box.find(tool)
        if found and not (found.version and found.version < tool.oldest):
            return Probe(found.label)
        code, evidence, message = "missing", "Looked on PATH", f"There is no `{tool.name}` on this machine."
        if found:
            oldest = ".".join(map(str, tool.oldest))
            code, evidence = "old", found.label
            message = f"`{tool.name}` is too old: {found.label}; {oldest} is needed."
        summary = f"Have {tool.name} installed into the program's own folder, or install it yourself: {tool.hint}"
        remedy = Remedy(summary, INSTALL_TOOLS, automatic=config.install_tools)
        return Probe(findings=(Finding(f"{tool.name}-{code}", message, evidence, remedy),))

    def install(ctx: StepContext) -> None:
        from contextcore_install.system.packages.bundle_file import source_of
        from contextcore_install.system.packages.install import install_program

        install_program(tool.name, ctx, config.bin_folder, config.environ, source=source_of(config))

    return Requirement(tool.name, tool.name, probe, install if config.install_tools else None)


def manifests_requirement(source: ManifestSource, box: ToolBox) -> Requirement:
    def probe() -> Probe:
        if box.find(KUBECTL) is None:
            return Probe("not known: it needs kubectl", skipped=True)
        try:
            release = source.release()
        except InstallError as error:
            return Probe(findings=(finding_of(error),))
        return Probe(f"{count(len(release.objects), 'object')}, {count(len(release.images), 'image')}")

    return Requirement("manifests", "The manifests", probe)


class ClusterSystem:
    """What a cluster of kubeadm's needs so that pods are reached; `kubeadm` returns the command that runs it there."""

    def __init__(self, kubectl: Kubectl, require: Callable[[], None], kubeadm: Callable[[], str]) -> None:
        self._kubectl = kubectl
        self._require = require
        self._kubeadm = kubeadm
        self._objects = TtlCache(self._ask)

    def requirements(self) -> Sequence[Requirement]:
        required = partial(Requirement, category=Category.INFRASTRUCTURE)
        return [
            required("kube_proxy", "Services lead to their pods", partial(self._probe, self._proxy)),
            required("cluster_dns", "Names are found in the cluster", partial(self._probe, self._dns)),
        ]

    def _ask(self) -> Snapshot:
        self._require()
        return Snapshot(self._kubectl.items("daemonsets,deployments,endpoints", "-n", SYSTEM))

    def _probe(self, look: Callable[[Snapshot], Probe]) -> Probe:
        try:
            return look(self._objects.read())
        except InstallError as error:
            return Probe(f"not known: {error.message}", skipped=True)

    def _proxy(self, objects: Snapshot) -> Probe:
        proxy = objects.get(_PROXY)
        if proxy is None:
            return self._wrong(PROXY_GONE)
        ready, wanted = int(proxy.status.get("numberReady", 0)), proxy.replicas
        if ready < wanted or not wanted:
            return self._wrong(PROXY_DOWN, ready=str(ready), wanted=str(wanted))
        return Probe(f"kube-proxy is ready on {ready} of {wanted} nodes")

    def _dns(self, objects: Snapshot) -> Probe:
        subsets = (objects.get(_DNS_SERVICE) or Manifest()).get("subsets", [])
        if ready := sum(len(subset.get("addresses", [])) for subset in subsets):
            return Probe(f"{ready} pods answer for it")
        if (dns := objects.get(_DNS)) is None:
            return self._wrong(DNS_GONE)
        return self._wrong(DNS_DOWN if dns.replicas else DNS_SCALED_DOWN)

    def _wrong(self, reason: str, **facts: str) -> Probe:
        known = {"kubectl": self._kubectl.shown("-n", SYSTEM), "kubeadm": self._kubeadm(), **facts}
        problem = problem_of(Subject.SYSTEM, Evidence("system", reason=reason, facts=known))
        return Probe(findings=(problem,) if problem else ())
